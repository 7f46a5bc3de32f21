# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody in front of the machine: presses keys and reads the screens, as the terminal at the serial line shows them."""

import re
import time

import vt
from disks import Partitions, filled_disk
from pc import MIB

# Keys as terminals send them.
LINE_KEYS = {"ret": "\r", "esc": "\x1b", "tab": "\t", "down": "\x1b[B", "up": "\x1b[A", "right": "\x1b[C", "left": "\x1b[D", "f1": "\x1bOP",
             "f2": "\x1bOQ", "f5": "\x1b[15~", "f10": "\x1b[21~", "spc": " "}


class Walk:
    def __init__(self, m, by_line=False):
        """by_line: keys come from the serial line instead of the keyboard."""
        self.m = m
        self.by_line = by_line
        self.pressed = 0

    def terminal(self):
        terminal = vt.Terminal()
        terminal.feed(self.m.serial_bytes())
        return terminal

    def see(self, pattern, timeout=30):
        """Waits until the screen shows the pattern; returns what it shows."""
        end = time.monotonic() + timeout
        while True:
            text = self.terminal().text()
            if re.search(pattern, text, re.MULTILINE):
                return text
            if time.monotonic() > end:
                self.m.fail("the screen does not show /%s/ but\n%s" % (pattern, text))
            time.sleep(0.1)

    def press(self, *keys):
        for key in keys:
            self.pressed += 1
            if self.by_line:
                self.m.type_serial(LINE_KEYS.get(key, key))
            else:
                self.m.send_key(key)
            time.sleep(0.15)

    def type(self, text):
        for letter in text:
            if self.by_line:
                self.press(letter)
            else:
                self.press("shift-" + letter.lower() if letter.isupper() else {".": "dot", "-": "minus"}.get(letter, letter))


class Pc:
    """A PC with an NVMe disk to be saved, an empty SATA disk, and a USB disk whose exFAT volume is called BACKUP."""

    def __init__(self, m, throttle=False, **stick):
        """throttle: the disk to be saved gives a few MiB a second, so that there is time to press keys."""
        self.m = m
        self.source = Partitions(m, "source", 24, 24)
        self.source.format(1, "ext4", "SYSTEM").fill(2, 0.3)
        self.target = filled_disk(m, "target", 80 * MIB)
        self.backup = Partitions(m, "backup", 96)
        self.backup.format(1, "exfat", "BACKUP")
        m.add_stick(**stick)
        m.add_nvme(self.source.path, "S3X9NX0K1234", **({"throttle": {"bps_read": 4 * MIB}} if throttle else {}))
        m.add_ahci_disk(self.target, "WDWCC4N7ABCD", model="WDC WD40EFRX")
        m.add_usb_storage(self.backup.path, "BACKUP01")
