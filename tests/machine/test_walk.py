# SPDX-License-Identifier: GPL-2.0-or-later
"""The way through by key presses, from power-on: a disk is saved, put back onto another one, and the image is checked; on the panel, and on
a serial line alone."""

import os
import re

from disks import check_volume, sha256
from machine import Machine
from walk import Pc, Walk

TIMEOUT = 240
START = r"What would you like to do\?"
DONE = r"DONE AND VERIFIED"


def save(walk):
    """With what is proposed; returns the image's name."""
    walk.see(START, timeout=90)
    before = walk.pressed
    walk.press("ret")
    walk.see(r"Which disk is to be saved\?")
    walk.see(r"► .*QEMU NVMe Ctrl +S3X9NX0K1234|> .*QEMU NVMe Ctrl +S3X9NX0K1234")
    walk.press("ret")
    walk.see(r"Where shall the image go\?", timeout=60)
    assert re.search(r"BACKUP +exfat +\d+ MiB +fits", walk.terminal().text()), walk.terminal().text()
    walk.press("ret")
    walk.see(r"Options\. What stands here")
    walk.press("ret")
    walk.see(r"This is what will happen", timeout=60)
    text = walk.see(r"Enter starts it")
    assert "Nothing is written to the disk that is saved." in text, text
    walk.press("ret")
    assert walk.pressed - before < 10
    text = walk.see(DONE, timeout=120)
    name = re.search(r"Command: capture nvme:S3X9NX0K1234\s+BACKUP:\\(\S+\.eid)", text)
    assert name, text
    assert re.search(r"The report is in stick:\\EIDOLON\\REPORTS\\\S+\.txt", text), text
    walk.press("ret")
    return name.group(1)


def restore(walk, image):
    walk.see(START)
    walk.press("r")
    walk.see(r"Where is the image\?", timeout=60)
    walk.press("ret")
    walk.see(r"Which image\?")
    walk.see(re.escape(image))
    walk.press("ret")
    walk.see(r"Onto which disk\? It will be erased", timeout=60)
    while not re.search(r"^ *[►>] WDC WD40EFRX", walk.terminal().text(), re.MULTILINE):
        walk.press("down")
    walk.press("ret")
    walk.see(r"Options\. What stands here")
    walk.press("ret")
    walk.see(r"type the last four characters", timeout=60)
    # The end of another disk's serial number does nothing.
    walk.type("1234")
    walk.press("ret")
    walk.see(r"That is not it\. Nothing has been written")
    walk.type("ABCD")
    walk.press("ret")
    walk.see(DONE, timeout=120)
    walk.press("ret")


def check(walk, image):
    walk.see(START)
    walk.press("v")
    walk.see(r"Where is the image\?", timeout=60)
    walk.press("ret")
    walk.see(re.escape(image))
    walk.press("ret")
    walk.see(r"Enter starts it", timeout=60)
    walk.press("ret")
    walk.see(r"EVERYTHING MATCHED", timeout=120)


def all_the_way(m, by_line):
    pc, walk = Pc(m), Walk(m, by_line)
    before = sha256(pc.source.path)
    m.start()
    image = save(walk)
    restore(walk, image)
    check(walk, image)
    # Down to "Power off".
    walk.press("down", "down", "ret")
    m.expect_exit(None)
    assert sha256(pc.source.path) == before
    # Of the file system what is in use; of the other partition every byte.
    restored = os.path.join(m.disks, "restored")
    with open(restored, "wb") as file:
        file.write(pc.source.contents(1, pc.target))
    check_volume(restored, "ext4")
    assert pc.source.contents(2) == pc.source.contents(2, pc.target)
    log = m.read_stick_file("EIDOLON/LOG.TXT").decode()
    assert "screens: 80 x 25 cells" in log, log


def test_the_whole_way_by_keys():
    with Machine(screen=True, terminal=True, screens=True, processors=2) as m:
        all_the_way(m, by_line=False)


def test_the_whole_way_on_a_serial_line():
    with Machine(terminal=True, screens=True) as m:
        all_the_way(m, by_line=True)


def test_pause_cancel_and_the_prompt():
    with Machine(screen=True, terminal=True, screens=True) as m:
        walk = Walk(m)
        Pc(m, throttle=True)
        m.start()
        walk.see(START, timeout=90)
        walk.press("p")
        m.wait_for(r"^eidolon> ")
        m.type_text("ui\n")
        walk.see(START)
        walk.press(*["ret"] * 3)
        walk.see(r"Options\. What stands here", timeout=60)
        walk.press("ret")
        walk.see(r"Enter starts it", timeout=60)
        walk.press("ret")
        walk.see(r"^ +\d+%  copying")
        walk.press("p")
        text = walk.see(r"PAUSED")
        again = walk.see(r"PAUSED")
        assert re.search(r"\d+%", text).group() == re.search(r"\d+%", again).group()
        walk.press("p")
        walk.see(r"^ +\d+%  copying")
        walk.press("esc")
        walk.see(r"The image that was begun is removed")
        walk.press("down", "ret")
        walk.see(r"CANCELLED", timeout=60)
        walk.press("ret")
        walk.see(START)
        walk.press("q")
        m.expect_exit(7)
