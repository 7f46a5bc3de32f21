#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzzing: builds the targets, makes inputs to begin with, replays what once failed, then looks for new failures.

    make fuzz                       all targets, 30 seconds each
    FUZZ_SECONDS=600 FUZZ_TARGETS="ext ntfs" FUZZ_JOBS=1 make fuzz

What is found stays in BUILD/fuzz: crashes/TARGET/ (inputs that fail), corpus/TARGET/ (inputs that reached something new, used by
the next run), TARGET.log. Ends with a line for each target, and not well when anything failed.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time

TARGETS = "image partition fat exfat ext ntfs swap_recognise command job usb".split()
HERE = os.path.dirname(os.path.relpath(os.path.abspath(__file__)))
FUZZ = os.path.join(os.environ.get("BUILD", "build"), "fuzz")
SECONDS = int(os.environ.get("FUZZ_SECONDS", "30"))
JOBS = int(os.environ.get("FUZZ_JOBS", os.cpu_count()))
INPUT_TIMEOUT = 60   # seconds for one input, on a busy machine
MEMORY_MEGABYTES = 2048
ATTEMPTS = 3         # crashes of one target after which it is left alone


def files(folder):
    return sorted(os.path.join(folder, name) for name in os.listdir(folder)) if os.path.isdir(folder) else []


def program(target):
    return os.path.join(FUZZ, "fuzz_" + target)


def make_seeds():
    """Again when their makers have changed; the old ones may not fit any more."""
    seeds, stamp = os.path.join(FUZZ, "seeds"), os.path.join(FUZZ, "seeds.stamp")
    makers = [os.path.join(HERE, name) for name in ("seeds.py", "image_seeds.c", "fuzz.h")]
    if os.path.exists(stamp) and all(os.path.getmtime(maker) <= os.path.getmtime(stamp) for maker in makers):
        return
    shutil.rmtree(seeds, ignore_errors=True)
    os.makedirs(os.path.join(seeds, "image"))
    subprocess.run([os.path.join(HERE, "seeds.py"), seeds], check=True, timeout=300)
    subprocess.run([program("image"), "--seeds", os.path.join(seeds, "image")], check=True, timeout=300)
    open(stamp, "w").close()


def accepted(target):
    """How many of the inputs to begin with the product takes for whole: with none, a target would test error paths alone."""
    seeds = files(os.path.join(FUZZ, "seeds", target))
    done = subprocess.run([program(target), "--accepted"] + seeds, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          timeout=600, check=False)
    return int(done.stdout or 0) if done.returncode == 0 else 0


def fuzz(target, arguments, seconds, log):
    """One run of libFuzzer; the number of inputs it tried, and whether it ended well."""
    options = ["-timeout=%d" % INPUT_TIMEOUT, "-rss_limit_mb=%d" % MEMORY_MEGABYTES, "-print_final_stats=1",
               "-artifact_prefix=%s/" % os.path.join(FUZZ, "crashes", target)]
    environment = dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
                       ASAN_OPTIONS="detect_leaks=1:quarantine_size_mb=32:allocator_may_return_null=1")
    begun = log.tell()
    try:
        done = subprocess.run([program(target)] + options + arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                              env=environment, timeout=seconds + 5 * INPUT_TIMEOUT, check=False)
        good = done.returncode == 0
    except subprocess.TimeoutExpired:
        good = False
    log.seek(begun)
    text = log.read().decode(errors="replace")
    log.seek(0, os.SEEK_END)
    units = re.findall(r"number_of_executed_units: (\d+)", text)
    coverage = re.findall(r"cov: (\d+)", text)
    return int(units[-1]) if units else 0, int(coverage[-1]) if coverage else 0, good


def run(target):
    crashes, corpus = os.path.join(FUZZ, "crashes", target), os.path.join(FUZZ, "corpus", target)
    os.makedirs(crashes, exist_ok=True)
    os.makedirs(corpus, exist_ok=True)
    dictionary = os.path.join(FUZZ, "seeds", target + ".dictionary")
    before, runs, coverage, failures, regressed = set(files(crashes)), 0, 0, 0, 0
    with open(os.path.join(FUZZ, target + ".log"), "wb+") as log:
        for path in files(os.path.join(HERE, "regressions", target)):
            regressed += not fuzz(target, [path], 0, log)[2]
        good_seeds = accepted(target)
        end = time.monotonic() + SECONDS
        while failures < ATTEMPTS and time.monotonic() < end - 1:
            left = max(1, int(end - time.monotonic()))
            arguments = ["-max_total_time=%d" % left, corpus, os.path.join(FUZZ, "seeds", target)]
            if os.path.exists(dictionary):
                arguments.insert(0, "-dict=" + dictionary)
            units, coverage, good = fuzz(target, arguments, left, log)
            runs += units
            failures += not good
    new = sorted(set(files(crashes)) - before)
    return target, runs, coverage, good_seeds, regressed, max(len(new), failures), new


def main():
    targets = os.environ.get("FUZZ_TARGETS", " ".join(TARGETS)).split()
    subprocess.run(["make", "-s", "-f", os.path.join(HERE, "fuzz.mk")] + ["BUILD=" + os.path.dirname(FUZZ)], check=True,
                   env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")})
    make_seeds()
    print("%d targets, %d seconds each, %d at once" % (len(targets), SECONDS, JOBS), flush=True)
    failed = False
    with concurrent.futures.ThreadPoolExecutor(max_workers=JOBS) as pool:
        for target, runs, coverage, seeds, regressed, crashes, new in pool.map(run, targets):
            bad = crashes or regressed or not seeds or not runs
            failed |= bool(bad)
            print("%-7s %-16s %9d runs  %5d edges  %3d seeds accepted  %d regressions failed  %d new crashes" % (
                "FAILED" if bad else "ok", target, runs, coverage, seeds, regressed, crashes), flush=True)
            for path in new:
                print("        %s: %s %s" % (path, program(target), path))
            if bad:
                print("        see %s" % os.path.join(FUZZ, target + ".log"))
    return failed


if __name__ == "__main__":
    sys.exit(main())
