# SPDX-License-Identifier: GPL-2.0-or-later
"""The stick against a minimal Linux, in emulated machines with two processors: the same firmware, disks and data, from power-on to the finished image and
back. Then what our drivers are worth beside the firmware's, and how long the program itself needs to its first screen and to a list of ten disks.

Times are the host's: each line of a guest is stamped when it arrives, and every end counts after the flush.
"""

import os
import re
import statistics
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "machine"))

import linux_guest  # noqa: E402
import machine  # noqa: E402
import pc  # noqa: E402
from disks import Partitions, events  # noqa: E402
from machine import Machine  # noqa: E402
from report import Aim, Table  # noqa: E402

MIB = 1 << 20
SOURCE, TARGET, IMAGES = "SOURCE", "TARGET", "IMAGES"
TIMEOUT = 240


class Watch:
    """The lines of a machine, from power-on to the last one waited for, each with the seconds after power-on at which it came."""

    def __init__(self, m, path):
        self.machine, self.path, self.position, self.lines = m, path, 0, []
        self.begun = time.monotonic()
        m.start()

    def _take(self):
        now = time.monotonic() - self.begun
        with open(self.path, "rb") as file:
            file.seek(self.position)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self.position += whole
        for line in data[:whole].decode(errors="replace").splitlines():
            self.lines.append((now, re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]", "", line).strip()))

    def until(self, pattern):
        """Waits for the first line that matches, from the beginning on, and returns its seconds."""
        while True:
            ended = self.machine.process.poll() is not None
            self._take()
            found = self.at(pattern)
            if found is not None:
                return found
            if ended or time.monotonic() - self.begun > TIMEOUT:
                self.machine.fail("no /%s/" % pattern)
            time.sleep(0.005)

    def at(self, pattern, last=False):
        """When a line that matches came, the first or the last such; None without one."""
        expression = re.compile(pattern)
        found = [seconds for seconds, line in self.lines if expression.search(line)]
        return found[-1 if last else 0] if found else None
