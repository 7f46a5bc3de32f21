# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs commands and pipelines and says what they took: wall time, processor time, memory.

Each stage of a pipeline runs under time(1), for two reasons: its processor time is its own, and its peak memory does not
inherit what this program itself once needed (a process counts its parent's peak until it calls execve).
"""

import dataclasses
import os
import signal
import statistics
import subprocess
import tempfile
import time

TIME_LIMIT = 900  # seconds for one pipeline; a peer that hangs is a failure in its row


class Failure(Exception):
    """A tool did not do its work. Its text is one line for the report."""


@dataclasses.dataclass
class Pipeline:
    """Commands joined by pipes. `output`: the file that receives the last one's standard output."""

    stages: list[list[str]]
    output: str = ""

    def __str__(self):
        return " | ".join(" ".join(stage) for stage in self.stages) + (" > " + self.output if self.output else "")


@dataclasses.dataclass
class Sample:
    """Wall and processor seconds, the sum of the stages' peak memory in bytes (text, data and stack, no page cache)."""

    wall: float
    processor: float
    memory: int


def command(*words, output=""):
    return Pipeline([[str(word) for word in words]], output)


def measure(pipelines):
    """Runs pipelines one after the other: the sum of times, the largest memory."""
    total = Sample(0.0, 0.0, 0)
    for pipeline in pipelines:
        sample = _measure_one(pipeline)
        total.wall += sample.wall
        total.processor += sample.processor
        total.memory = max(total.memory, sample.memory)
    return total


def _measure_one(pipeline):
    with tempfile.TemporaryDirectory(prefix="eidolon-measure-") as folder:
        processes, group = [], 0
        log = open(os.path.join(folder, "log"), "w+b")
        output = open(pipeline.output, "wb") if pipeline.output else subprocess.DEVNULL
        begun = time.monotonic()
        previous = subprocess.DEVNULL
        try:
            for number, stage in enumerate(pipeline.stages):
                last = number == len(pipeline.stages) - 1
                process = subprocess.Popen(
                    ["time", "-q", "-f", "%U %S %M", "-o", os.path.join(folder, str(number)), *stage],
                    stdin=previous, stdout=output if last else subprocess.PIPE, stderr=log, process_group=group)
                group = group or process.pid
                if previous is not subprocess.DEVNULL:
                    previous.close()
                previous = process.stdout
                processes.append(process)
            for process in processes:
                process.wait(max(1, begun + TIME_LIMIT - time.monotonic()))
            wall = time.monotonic() - begun
        except subprocess.TimeoutExpired:
            raise Failure("not done after %d s" % TIME_LIMIT) from None
        finally:
            _end(processes, group)
            if output is not subprocess.DEVNULL:
                output.close()
        if any(process.returncode for process in processes):
            raise Failure(_last_line(log, pipeline))
        usages = [open(os.path.join(folder, str(number))).read().split() for number in range(len(processes))]
        return Sample(wall, sum(float(u) + float(s) for u, s, _ in usages), sum(int(m) for _, _, m in usages) << 10)


def _end(processes, group):
    """Leaves none of ours behind, also after Ctrl-C."""
    if any(process.poll() is None for process in processes):
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for process in processes:
            process.wait()


def _last_line(log, pipeline):
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").replace("\r", "\n").splitlines()]
    lines = [line for line in lines if line and not line.startswith("Command exited")]
    return (lines[-1] if lines else str(pipeline))[:160]


def median(samples):
    """The median of each figure; the memory's is its largest."""
    return Sample(statistics.median(sample.wall for sample in samples), statistics.median(sample.processor for sample in samples),
                  max(sample.memory for sample in samples))
