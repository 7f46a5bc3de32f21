# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that fail and power that goes away, seen from the whole application: what it says, how it ends, what is on the disks afterwards. Sources
are never changed."""

import os
import subprocess
import time

from disks import Partitions, check_image, copy_out, eidolon, filled_disk, read_at, sha256
from machine import Machine
from pc import MIB, run

TIMEOUT = 200
SECTOR = 512


def command(m, line, code, *sentences, timeout=60):
    """Types a command at the prompt; it must end with this exit code and have said these sentences."""
    m.wait_for(r"^eidolon> ", timeout=60)
    start = len(m.log())
    m.type_text(line + "\n", pause=0.03)
    m.wait_for(r"exit code \d+$", timeout=timeout)
    said = m.log()[start:]
    assert "exit code %d\n" % code in said, said
    for sentence in sentences:
        assert sentence in said, "%r is not in:\n%s" % (sentence, said)


def leave(m, code=None):
    m.wait_for(r"^eidolon> ")
    m.type_text("exit\n")
    if code is not None:
        m.expect_exit(code)
    m.process.wait(timeout=30)


def saved_image(m, name):
    path = os.path.join(m.disks, name)
    with open(path, "wb") as file:
        file.write(m.read_stick_file(name))
    return path


def test_unreadable_sectors_are_named_and_salvaged():
    bad = {"nvme": (10001, "unreadable or unwritable sector"), "sata": (20003, "input/output error")}
    with Machine(screen=True) as m:
        disks = {bus: filled_disk(m, bus, 16 * MIB) for bus in bad}
        before = {bus: sha256(path) for bus, path in disks.items()}
        m.add_stick(size=128)
        m.add_nvme(disks["nvme"], "BAD", inject=[{"iotype": "read", "sector": bad["nvme"][0]}])
        m.add_ahci_disk(disks["sata"], "BAD", inject=[{"iotype": "read", "sector": bad["sata"][0]}])
        m.start()
        for bus, (sector, reason) in bad.items():
            command(m, "capture %s: stick:/%s.bad" % (bus, bus), 4,
                    "error: source %s:BAD: %s (read) at %d" % (bus, reason, sector))
            command(m, "capture %s: stick:/%s.eid --salvage" % (bus, bus), 9,
                    "warning: %s:BAD: 512 bytes at byte %d cannot be read; stored as zeroes." % (bus, sector * SECTOR),
                    "Warning: 512 bytes could not be read")
        leave(m)
        for bus, (sector, reason) in bad.items():
            assert sha256(disks[bus]) == before[bus]
            with open(disks[bus], "rb") as file:
                expected = bytearray(file.read())
            expected[sector * SECTOR:(sector + 1) * SECTOR] = bytes(SECTOR)
            check_image(saved_image(m, bus + ".eid"), bytes(expected), holes=True)


def check_half_restored(disk):
    assert "HALF RESTORED" in eidolon("list", disk)
    assert read_at(disk, 510, 2) != b"\x55\xaa"


def test_targets_that_cannot_be_written():
    with Machine(screen=True) as m:
        source = filled_disk(m, "source", 16 * MIB)
        before = sha256(source)
        targets = [filled_disk(m, name, 16 * MIB) for name in ("nvme", "sata")]
        keeper = Partitions(m, "keeper", 32).format(1, "ext4", "KEEPER")
        volume = sha256(keeper.path)
        m.add_stick()
        m.add_ahci_disk(source, "SOURCE")
        m.add_nvme(targets[0], "WORN", inject=[{"iotype": "write", "sector": 10001}])
        m.add_ahci_disk(targets[1], "WORN", inject=[{"iotype": "write", "sector": 20003}])
        m.add_nvme(keeper.path, "KEEPER", inject=[{"iotype": "write"}])
        m.start()
        command(m, "clone sata:S nvme:W --yes", 5, "error: target nvme:WORN: ")
        command(m, "clone sata:S sata:W --yes", 5, "error: target sata:WORN: ")
        command(m, "capture sata:S KEEPER:/pc.eid", 6, "error: ")
        leave(m, 6)
        for target in targets:
            check_half_restored(target)
        assert sha256(source) == before and sha256(keeper.path) == volume


def wait_for_standstill(m, disk):
    """Until a disk that is being read has done nothing for two seconds."""
    node, last, since = "disk-" + disk, None, 0
    while True:
        reads = next(stats["stats"]["rd_operations"] for stats in m.qmp("query-blockstats", query_nodes=False)
                     if stats.get("node-name") == node)
        if reads != last:
            last, since = reads, time.monotonic()
        elif time.monotonic() - since > 2:
            return
        time.sleep(0.1)


def test_nvme_disk_that_hangs_in_a_capture():
    with Machine(screen=True) as m:
        source = filled_disk(m, "source", 48 * MIB)
        before = sha256(source)
        m.add_stick(size=128)
        disk = m.add_nvme(source, "HANGS", throttle={})
        m.start()
        m.wait_for(r"^eidolon> ", timeout=60)
        m.set_throttle(disk, bps_total=4 * MIB)
        m.type_text("capture nvme: stick:/a.eid\n")
        m.wait_for(r"^copying")
        m.set_throttle(disk, bps_total=1)
        wait_for_standstill(m, disk)
        m.set_throttle(disk)  # for later requests: those that hang do so for ever, but after its reset the disk must work again
        m.wait_for(r"warning: nvme:HANGS: no answer in time.*reset", timeout=60)
        m.wait_for(r"exit code 4$", timeout=20)
        assert "error: source nvme:HANGS: no answer in time (read)" in m.log(), m.log()
        command(m, "capture nvme: stick:/b.eid", 0, "Verified: read back")
        leave(m)
        check_image(saved_image(m, "b.eid"), source)
        assert sha256(source) == before


def test_sata_disk_that_hangs_next_to_others():
    with Machine(screen=True) as m:
        hanging, healthy = filled_disk(m, "hanging", 8 * MIB), filled_disk(m, "healthy", 8 * MIB)
        m.add_stick()
        disk = m.add_ahci_disk(hanging, "HANGS", throttle={})
        m.add_ahci_disk(healthy, "WORKS")
        m.start()
        m.wait_for(r"^eidolon> ", timeout=60)
        # 512 bytes now, 512 bytes in 34 s: behind the deadline, and early enough for QEMU, which waits for it in a reset.
        m.set_throttle(disk, bps_total=15)
        m.type_text("list\n")
        m.wait_for(r"^error: sata:HANGS: no answer in time \(read\)", timeout=60)
        m.wait_for(r"^sata:WORKS$(.*\n)*^usb:STICK$(.*\n)*.*exit code 0$", timeout=20)
        command(m, "capture sata:W stick:/works.eid", 0, "Verified: read back")
        m.set_throttle(disk)
        leave(m)
        check_image(saved_image(m, "works.eid"), healthy)


def cut_capture(m, source):
    """Power goes away in a capture when its first segment has been written."""
    before = sha256(source)
    m.start()
    m.wait_for(r'"phase":"copying".*"stored_bytes":(6[89]|[7-9]\d|1\d\d)\d{6},', timeout=120)
    m.kill()
    assert '"result"' not in m.log() and sha256(source) == before, m.log()


def check_cut_image(m, image, source):
    """The image has no end, and what it has is right: at least one segment."""
    eidolon("verify", image, expect=6)
    target = filled_disk(m, "target", os.path.getsize(source))
    assert "the image is incomplete" in eidolon("restore", image, target, "--yes", "--salvage", expect=9)
    size = 0
    with open(source, "rb") as one, open(target, "rb") as other:
        while (piece := one.read(MIB)) and piece == other.read(MIB):
            size += len(piece)
    assert size >= 60 * MIB, "only %d bytes were saved" % size
    assert size < os.path.getsize(source)


def check_cut_on_volume(kind):
    with Machine(command="capture nvme:SOURCE CUT:/cut.eid --json") as m:
        source = filled_disk(m, "source", 200 * MIB)
        keeper = Partitions(m, "keeper", 256).format(1, kind, "CUT")
        m.add_stick()
        m.add_nvme(source, "SOURCE", throttle={"bps_total": 40 * MIB})
        m.add_ahci_disk(keeper.path, "KEEPER")
        cut_capture(m, source)
        volume = keeper.extract(1)
        # It was marked, so that everybody knows that it was cut off.
        if kind == "ext4":
            assert "not clean" in run("dumpe2fs", "-h", volume, text=True).stdout
            assert subprocess.run(["e2fsck", "-fp", volume], capture_output=True).returncode <= 1
        else:
            assert subprocess.run(["ntfsls", volume], capture_output=True).returncode != 0
        check_cut_image(m, copy_out(volume, kind, "cut.eid", volume + ".eid"), source)


def test_power_cut_in_a_capture_onto_ext4():
    check_cut_on_volume("ext4")


def test_power_cut_in_a_capture_onto_ntfs():
    check_cut_on_volume("ntfs")


def test_power_cut_in_a_capture_onto_the_stick():
    with Machine(command="capture nvme:SOURCE stick:/cut.eid --json") as m:
        source = filled_disk(m, "source", 200 * MIB)
        m.add_stick(size=256)
        m.add_nvme(source, "SOURCE", throttle={"bps_total": 40 * MIB})
        cut_capture(m, source)
        check_cut_image(m, saved_image(m, "cut.eid"), source)


def test_power_cut_in_a_restore():
    with Machine(command="restore stick:/pc.eid sata:TARGET --yes --json") as m:
        source = Partitions(m, "source", 60, 20).fill(1).fill(2)
        image = os.path.join(m.disks, "pc.eid")
        eidolon("capture", source.path, image)
        with open(image, "rb") as file:
            m.add_stick(size=160, files={"pc.eid": file.read()})
        target = Partitions(m, "target", 60, 20).fill(1).fill(2)
        disk = m.add_ahci_disk(target.path, "TARGET", throttle={"bps_total": 30 * MIB})
        m.start()
        m.wait_for(r'"phase":"copying","per_cent":[1-9]', timeout=120)
        m.kill()
        check_half_restored(target.path)
        # The next boot knows it too, and the same restore ends well.
        m.start()
        m.set_throttle(disk)
        m.expect_exit(0, timeout=90)
        assert target.contents(1) == source.contents(1) and target.contents(2) == source.contents(2)
        assert "HALF RESTORED" not in eidolon("list", target.path)
