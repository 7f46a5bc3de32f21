# SPDX-License-Identifier: GPL-2.0-or-later
"""The AHCI driver on emulated controllers: errors of single blocks, disks that hang, drives with and without a medium."""

import os
import re
import subprocess

from machine import Machine

SIZE = 24 << 20


def filled_disk(m, name, size=SIZE):
    path = m.new_disk(name, size)
    with open(path, "r+b") as file:
        file.write(os.urandom(size))
    return path


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def test_unreadable_block_is_named():
    """The emulated disk keeps no log of failed queued commands: the driver finds out by sending them one by one."""
    with Machine(command="clone sata:BAD sata:GOOD --raw --yes") as m:
        m.add_stick()
        m.add_ahci_disk(filled_disk(m, "bad"), "BAD", inject=[{"iotype": "read", "sector": 4097}])
        m.add_ahci_disk(m.new_disk("good", SIZE), "GOOD")
        m.start()
        m.expect_exit(4, timeout=90)
        assert "sata:BAD: link reset: a queued command failed" in m.log(), m.log()
        assert re.search(r"error: .*sata:BAD.*4097", m.log()), m.log()


def test_unwritable_block_is_named():
    with Machine(command="clone sata:GOOD sata:BAD --raw --yes") as m:
        m.add_stick()
        m.add_ahci_disk(filled_disk(m, "good"), "GOOD")
        m.add_ahci_disk(m.new_disk("bad", SIZE), "BAD", inject=[{"iotype": "write", "sector": 40960}])
        m.start()
        m.expect_exit(5, timeout=90)
        assert re.search(r"error: .*sata:BAD", m.log()), m.log()


def test_hanging_disk_costs_its_deadline_and_comes_back():
    """The second read waits for more than its deadline of 30 s. (The emulator itself waits for it when the link is reset.)"""
    with Machine(screen=True) as m:
        m.add_stick()
        slow = m.add_ahci_disk(filled_disk(m, "slow"), "SLOW", throttle={})
        m.start()
        m.wait_for(r"^eidolon> ", timeout=60)
        m.set_throttle(slow, bps_total=120)
        m.type_text("measure sata:SLOW\n")
        m.wait_for(r"sata:SLOW: link reset: a command did not end before its deadline", timeout=60)
        m.wait_for(r"^error: .*sata:SLOW", timeout=60)
        m.set_throttle(slow)
        m.wait_for(r"^eidolon> ")
        m.type_text("measure sata:SLOW\n")
        m.wait_for(r"sata:SLOW, reads a second:", timeout=60)
        m.wait_for(r"^eidolon> ")
        m.type_text("exit\n")
        m.expect_exit(0)


def test_discs_are_captured_and_empty_drives_left_out():
    with Machine(command="capture sata:QM stick:\\disc.eid --level=1") as m:
        m.add_stick()
        disc = filled_disk(m, "disc")
        m.add_cdrom(disc)
        m.add_cdrom()
        m.start()
        m.wait_for(r"sata@\S+/p1: left out: no medium in the drive", timeout=60)
        m.expect_exit(0, timeout=60)
        image = os.path.join(m.disks, "disc.eid")
        with open(image, "wb") as file:
            file.write(m.read_stick_file("disc.eid"))
        assert subprocess.run(["zstd", "-dcq", image], check=True, capture_output=True).stdout == contents(disc)
