#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the machine tests: tests/machine/test_*.py, their functions test_* and unittest classes, two at once.

    tests/machine/run.py [--results FILE] [--list] [-j N] [NAME...]

NAME is a file's (test_boot), a test's (test_boot.test_version) or a part of it. A function is one job, a class is one job
with a result for each method (so setUpClass may start a machine). TIMEOUT in a module says how many seconds a job of it may
take, DEFAULT_TIMEOUT otherwise; ALONE names those that compare speeds and run alone, last. Each job is a process of its own.
"""

import argparse
import concurrent.futures
import contextlib
import glob
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
DEFAULT_TIMEOUT = 300
SHARED_MEMORY = "/dev/shm"


def find_jobs(module):
    """The jobs of a module in the order of its text: (name, [names of results])."""
    jobs = []
    for name, thing in vars(module).items():
        if inspect.isclass(thing) and issubclass(thing, unittest.TestCase) and thing.__module__ == module.__name__:
            methods = unittest.defaultTestLoader.getTestCaseNames(thing)
            jobs.append((name, ["%s.%s" % (name, method) for method in methods]))
        elif inspect.isfunction(thing) and name.startswith("test_") and thing.__module__ == module.__name__:
            jobs.append((name, [name]))
    return jobs


class Recorder(unittest.TestResult):
    """Collects (test, "ok" | "FAILED" | "skipped", text, seconds)."""

    def __init__(self):
        super().__init__()
        self.rows = {}

    def startTest(self, test):
        super().startTest(test)
        self.begun = time.monotonic()

    def note(self, test, state, text=""):
        name = test.id().split(".", 1)[1] if isinstance(test, unittest.TestCase) else str(test)
        if self.rows.get(name, ("ok",))[0] != "FAILED":
            self.rows[name] = (state, text, time.monotonic() - getattr(self, "begun", time.monotonic()))

    def addSuccess(self, test):
        self.note(test, "ok")

    def addFailure(self, test, error):
        self.note(test, "FAILED", "".join(traceback.format_exception(*error)))

    addError = addFailure

    def addSkip(self, test, reason):
        self.note(test, "skipped", reason)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.note(test, "FAILED", "".join(traceback.format_exception(*error)))


def run_one(module_name, job, results_path):
    """In the child: runs one job and writes its rows as JSON."""
    module = importlib.import_module(module_name)
    thing = getattr(module, job)
    if inspect.isclass(thing):
        recorder = Recorder()
        unittest.defaultTestLoader.loadTestsFromTestCase(thing).run(recorder)
        rows = recorder.rows
    else:
        begun = time.monotonic()
        try:
            thing()
            row = ("ok", "")
        except unittest.SkipTest as reason:
            row = ("skipped", str(reason))
        except BaseException:  # a test that calls exit() has failed too
            row = ("FAILED", traceback.format_exc())
        rows = {job: (*row, time.monotonic() - begun)}
    with open(results_path, "w") as file:
        json.dump(rows, file)


@contextlib.contextmanager
def scratch_disks():
    """A folder for disks in shared memory, "" where there is none."""
    if os.environ.get("KEEP") or not os.access(SHARED_MEMORY, os.W_OK):
        yield ""
    else:
        with tempfile.TemporaryDirectory(prefix="eidolon-disks-", dir=SHARED_MEMORY) as folder:
            yield folder


def run_job(module_name, job, names, timeout):
    """In the parent: starts the child, and answers for the results that it did not give."""
    begun = time.monotonic()
    # A child that is killed leaves nothing: its sockets and its disks are in folders of ours.
    with tempfile.TemporaryDirectory(prefix="eidolon-job-") as folder, scratch_disks() as disks:
        results_path = os.path.join(folder, "results")
        environment = dict(os.environ, EIDOLON_TEST="%s.%s" % (module_name, job), PYTHONDONTWRITEBYTECODE="1",
                           EIDOLON_DISKS=disks, TMPDIR=folder)
        with open(os.path.join(folder, "output"), "w+") as output:
            child = subprocess.Popen([sys.executable, os.path.realpath(__file__), "--one", module_name, job, results_path],
                                     stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=HERE,
                                     env=environment, start_new_session=True)
            reason = "the test's process ended early"
            try:
                child.wait(timeout)
            except subprocess.TimeoutExpired:
                reason = "not done after %d s" % timeout
            finally:
                try:  # also what it left behind, under its own session
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                child.wait()
            output.seek(0)
            printed = output.read()
        rows = {}
        if os.path.exists(results_path):
            with open(results_path) as file:
                rows = json.load(file)
    for name in set(rows) - set(names):  # setUpClass and its like: the failure of every test that did not run
        reason = rows.pop(name)[1]
    for name in names:
        rows.setdefault(name, ("FAILED", reason, time.monotonic() - begun))
    return {"%s.%s" % (module_name, name): (*row, printed) for name, row in rows.items()}


def main():
    parser = argparse.ArgumentParser(description="Runs the machine tests.")
    parser.add_argument("--results", help="writes 'PASSED FAILED' into this file")
    parser.add_argument("--list", action="store_true", help="lists the tests and runs none")
    parser.add_argument("-j", type=int, default=2, help="jobs at once (2)")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()

    jobs, alone, failed, passed, skipped = [], set(), 0, 0, 0
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        module_name = os.path.basename(path)[:-3]
        try:
            module = importlib.import_module(module_name)
        except Exception:
            print("FAILED  %s cannot be read\n%s" % (module_name, traceback.format_exc()))
            failed += 1
            continue
        for job, names in find_jobs(module):
            full = ["%s.%s" % (module_name, name) for name in names]
            if not options.names or any(wanted in name for wanted in options.names for name in full):
                jobs.append((module_name, job, names, getattr(module, "TIMEOUT", DEFAULT_TIMEOUT)))
                if job in getattr(module, "ALONE", ()):
                    alone.add((module_name, job))
    if options.list:
        for module_name, _, names, _ in jobs:
            print("\n".join("%s.%s" % (module_name, name) for name in names))
        return 0

    def outcomes():
        """What the jobs give as they end: first those that run side by side, then those that compare speeds."""
        for together, workers in ((False, options.j), (True, 1)):
            with concurrent.futures.ThreadPoolExecutor(max_workers=workers) as pool:
                chosen = [pool.submit(run_job, *job) for job in jobs if (job[:2] in alone) == together]
                yield from (done.result() for done in concurrent.futures.as_completed(chosen))

    for rows in outcomes():
        said = None
        for name, (state, text, seconds, printed) in sorted(rows.items()):
            print("%-7s %s  %.1f s%s" % (state, name, seconds, "  (%s)" % text if state == "skipped" else ""), flush=True)
            if state == "FAILED":
                print("    " + (printed + text).rstrip().replace("\n", "\n    "), flush=True)
            elif printed and printed != said:  # what a job measured, once
                print("    " + printed.rstrip().replace("\n", "\n    "), flush=True)
                said = printed
            passed += state == "ok"
            failed += state == "FAILED"
            skipped += state == "skipped"
    if options.results:
        os.makedirs(os.path.dirname(options.results), exist_ok=True)
        with open(options.results, "w") as file:
            file.write("%d %d\n" % (passed, failed))
    print("machine: %d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    return failed != 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path.insert(0, HERE)
    if len(sys.argv) == 5 and sys.argv[1] == "--one":
        run_one(*sys.argv[2:])
    else:
        sys.exit(main())
