#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the emulated machine's processors are, for developers: samples their instruction pointers and counts functions.

    with Machine(...) as m:
        m.start()
        m.wait_for(r"command: capture")
        with Profile(m) as profile:
            m.expect_exit(0)
        print(profile.report())

An emulator exaggerates what is many instructions and hides what waits for a device. Samples outside of the program are the firmware's.
"""

import bisect
import collections
import os
import re
import subprocess
import threading

import machine


class Profile:
    """Samples from entering to leaving the `with` block, every `interval` seconds, until the machine ends."""

    def __init__(self, m, interval=0.01, elf=None):
        self.machine, self.interval = m, interval
        self.elf = elf or os.path.join(machine.BUILD, "eidolon.elf")
        self.samples = collections.defaultdict(list)  # processor: addresses
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.machine.qmp("query-status")  # the connection is made on this thread
        self._thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self._done.set()
        self._thread.join()

    def _run(self):
        try:
            while not self._done.wait(self.interval):
                # Only a stopped processor has an instruction pointer of the moment.
                self.machine.qmp("stop")
                text = self.machine.qmp("human-monitor-command", command_line="info registers -a")
                self.machine.qmp("cont")
                for number, address in enumerate(re.findall(r"^RIP=([0-9a-f]+)", text, re.MULTILINE)):
                    self.samples[number].append(int(address, 16))
        except (OSError, ValueError, machine.MachineError):
            pass  # the machine has ended

    def _symbols(self):
        """Sorted start addresses of functions, and their names."""
        text = subprocess.run(["nm", "--defined-only", "-n", self.elf], check=True, capture_output=True, text=True).stdout
        found = [(int(address, 16), name) for address, kind, name in re.findall(r"^([0-9a-f]+) ([tTwW]) (\S+)$", text, re.MULTILINE)]
        return [address for address, _ in found], [name for _, name in found]

    def report(self, rows=25):
        """A table for each processor: share of its samples, function."""
        base = int(re.search(r"loaded at 0x([0-9a-f]+)", self.machine.log()).group(1), 16)
        starts, names = self._symbols()
        lines = []
        for number, addresses in sorted(self.samples.items()):
            counts = collections.Counter()
            for address in addresses:
                at = bisect.bisect_right(starts, address - base) - 1
                inside = 0 <= address - base < starts[-1] + 65536 and at >= 0
                counts[names[at] if inside else "(firmware)"] += 1
            lines.append("processor %d, %d samples" % (number, len(addresses)))
            lines += ["%6.1f%%  %s" % (100 * count / len(addresses), name) for name, count in counts.most_common(rows)]
        return "\n".join(lines)
