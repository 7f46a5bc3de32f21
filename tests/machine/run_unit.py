#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs unit test programs, as many at once as there are processors, and counts their tests from cmocka's output.

    tests/machine/run_unit.py [--results FILE] PROGRAM...

A program that dies takes the tests that it had planned and not finished as failed.
"""

import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time

TIMEOUT = 300  # seconds for one program


def run(program):
    """(program, passed, failed, skipped, output, seconds)"""
    begun = time.monotonic()
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")
    environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=0")
    log = program + ".log"
    with open(log, "w") as output:
        child = subprocess.Popen([program], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                 env=environment, start_new_session=True)
        late = False
        try:
            child.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            late = True
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
    with open(log, errors="replace") as file:
        text = file.read()
    if late:
        text += "\nnot done after %d s\n" % TIMEOUT
    planned = sum(int(count) for count in re.findall(r"^1\.\.(\d+)", text, re.MULTILINE))
    skipped = len(re.findall(r"^(?:not )?ok \d+.*# SKIP", text, re.MULTILINE | re.IGNORECASE))
    passed = len(re.findall(r"^ok \d+(?!.*# SKIP)", text, re.MULTILINE))
    failed = len(re.findall(r"^not ok \d+(?!.*# SKIP)", text, re.MULTILINE))  # cmocka's skipped ones are "not ok"
    missing = planned - passed - failed - skipped
    if child.returncode != 0 or late:
        failed += max(missing, 0 if failed else 1)
    elif missing > 0 or planned == 0:
        failed += max(missing, 1)
        text += "\nended well, but %s\n" % ("with tests missing" if planned else "without a plan: is it a cmocka program?")
    return program, passed, failed, skipped, text, time.monotonic() - begun


def main():
    arguments = sys.argv[1:]
    results = None
    if arguments[:1] == ["--results"]:
        results = arguments[1]
        arguments = arguments[2:]
    passed = failed = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for program, good, bad, left, text, seconds in pool.map(run, arguments):
            state = "FAILED" if bad else "ok"
            print("%-7s %-32s %3d tests  %.1f s" % (state, os.path.basename(program), good + bad, seconds), flush=True)
            if bad:
                lines = text.rstrip().splitlines()
                lines = [line for line in lines if not re.match(r"^ok \d+", line)]
                print("    " + "\n    ".join(lines[:120]), flush=True)
            passed, failed, skipped = passed + good, failed + bad, skipped + left
    if results:
        os.makedirs(os.path.dirname(results), exist_ok=True)
        with open(results, "w") as file:
            file.write("%d %d\n" % (passed, failed))
    print("unit: %d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
