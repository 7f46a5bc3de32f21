# SPDX-License-Identifier: GPL-2.0-or-later
"""USB disks that fail, hang, and are pulled out, with our own drivers: what is said, how soon, and that the same disk plugged in again works."""

import contextlib
import re
import subprocess
import time

from disks import Partitions, check_image, check_volume, copy_out, filled_disk, sha256
from machine import Machine
from pc import MIB, run
from test_faults import check_half_restored, command, leave, saved_image

TIMEOUT = 300
ALONE = {"test_pulled_out_of_a_read", "test_pulled_out_of_a_write", "test_pulled_out_under_an_image",
         "test_a_capture_goes_on_on_fat", "test_a_capture_goes_on_on_exfat", "test_a_capture_goes_on_on_ext4", "test_a_capture_goes_on_on_ntfs"}
SECTOR = 512
BIG = 160 * MIB  # takes seconds

# Seconds of the guest's clock from the plug's leaving until its requests have failed.
PATIENCE = 2.0
GONE = r"^\[ *\d+\.\d+\] (error: usb:\S+: gone;|info: disk usb:\S+ is gone)"


def add_usb(m, kind, path, serial, **options):
    """A disk by one of the drivers of QEMU."""
    return m.add_usb_storage(path, serial, **options) if kind == "usb-storage" else m.add_usb_scsi(kind, [path], serial, **options)


def guest_seconds(line):
    return float(re.match(r"\[ *(\d+\.\d+)\]", line).group(1))


class GuestClock:
    """What the guest's log would say at a moment of ours: both clocks run alike."""

    def __init__(self, m):
        line = m.wait_for(r"^\[ *\d+\.\d+\] info: command: .*$").group(0)
        self.offset = guest_seconds(line) - time.monotonic()

    def now(self):
        return time.monotonic() + self.offset


def check_soon(m, clock, pulled, code):
    """The disk is known to be gone soon after it was pulled, and the command ends with this code when what was under way has come to its
    end: chunks that are being compressed, which takes longer when the computer below is busy with other things."""
    gone = guest_seconds(m.wait_for(GONE, timeout=60).group(0)) - pulled
    line = m.wait_for(r"^\[ *\d+\.\d+\] info: exit code %d$" % code, timeout=60).group(0)
    late = guest_seconds(line) - pulled
    print("%.2f s from the unplugging until it is known, %.2f s to the end of the command" % (gone, late))
    assert gone < PATIENCE and late < 4 * PATIENCE, m.log()[-2500:]


def pull(m, clock, disk):
    pulled = clock.now()
    m.unplug(disk)
    return pulled


def begin(m, line):
    m.wait_for(r"^eidolon> ", timeout=60)
    m.type_text(line + "\n", pause=0.03)
    return GuestClock(m)


def wait_until_moved(m, disk, counter, more, timeout=60):
    """Until so many bytes more than now were read ("rd_bytes") or written ("wr_bytes")."""
    def moved():
        return next(stats["stats"][counter] for stats in m.qmp("query-blockstats", query_nodes=False) if stats.get("node-name") == "disk-" + disk)

    start, end = moved(), time.monotonic() + timeout
    while moved() < start + more:
        if time.monotonic() > end:
            m.fail("the disk does not move")
        time.sleep(0.02)


# QEMU 7.2 ends with a failed assertion (usb_uas_cancel_io) when a usb-uas leaves with requests in flight, so UAS disks are pulled out
# of models alone (tests/unit).
PULLED = ("usb-storage",)

# -- pulled out ------------------------------------------------------------------------------------------------------------


def test_pulled_out_of_a_read():
    """Nothing is throttled: QEMU waits for throttled requests when a device leaves, and so does a job for those of its other end."""
    for kind in PULLED:
        with Machine(screen=True, processors=2) as m:
            source = filled_disk(m, "source", BIG)
            before = sha256(source)
            target = filled_disk(m, "target", BIG)
            m.add_stick()
            m.add_nvme(target, "TARGET")
            disk = add_usb(m, kind, source, "SOURCE")
            m.start()
            clock = begin(m, "clone usb:SOURCE nvme:TARGET --yes")
            m.wait_for(r"^copying", timeout=60)
            wait_until_moved(m, disk, "rd_bytes", 2 * MIB)
            pulled = pull(m, clock, disk)
            check_soon(m, clock, pulled, 4)
            assert "error: source usb:SOURCE: the device is gone (read)" in m.log(), m.log()[-2000:]
            m.plug_in_again(disk, kind, "SOURCE")
            again(m, "clone usb:SOURCE nvme:TARGET --yes")
            leave(m)
            assert sha256(source) == before == sha256(target)


def again(m, line, patience=5, code="0"):
    """The same with the disk back: it may take a moment until it is there."""
    for _ in range(patience):
        m.wait_for(r"^eidolon> ")
        m.type_text(line + "\n", pause=0.03)
        if m.wait_for(r"exit code (\d+)$", timeout=120).group(1) == code:
            return
    m.fail("never again: " + line)


def test_pulled_out_of_a_write():
    for kind in PULLED:
        with Machine(screen=True, processors=2) as m:
            source, target = filled_disk(m, "source", BIG), filled_disk(m, "target", BIG)
            m.add_stick()
            m.add_nvme(source, "SOURCE")
            disk = add_usb(m, kind, target, "TARGET")
            m.start()
            clock = begin(m, "clone nvme:SOURCE usb:TARGET --yes")
            m.wait_for(r"^copying", timeout=60)
            wait_until_moved(m, disk, "wr_bytes", 2 * MIB)
            pulled = pull(m, clock, disk)
            check_soon(m, clock, pulled, 5)
            assert "error: target usb:TARGET: the device is gone (write)" in m.log(), m.log()[-2000:]
            check_half_restored(target)
            m.plug_in_again(disk, kind, "TARGET")
            again(m, "clone nvme:SOURCE usb:TARGET --yes")
            leave(m)
            assert sha256(source) == sha256(target)


def test_pulled_out_under_an_image():
    for kind, volume in ((kind, volume) for kind in PULLED for volume in ("vfat", "ext4")):
        with Machine(screen=True, processors=2) as m:
            source = filled_disk(m, "source", BIG)
            home = Partitions(m, "home", 512).format(1, volume, "HOME")
            m.add_stick()
            m.add_nvme(source, "SOURCE")
            disk = add_usb(m, kind, home.path, "DISK")
            m.start()
            clock = begin(m, "capture nvme:SOURCE HOME:/a.eid")
            m.wait_for(r"^copying", timeout=60)
            wait_until_moved(m, disk, "wr_bytes", MIB)
            pulled = pull(m, clock, disk)
            check_soon(m, clock, pulled, 6)
            m.plug_in_again(disk, kind, "DISK")
            if volume == "ext4":  # it was being written to, and says so
                again(m, "capture nvme:SOURCE HOME:/b.eid", code="3")
                assert "it was not unmounted cleanly" in m.log(), m.log()[-2000:]
                continue
            again(m, "capture nvme:SOURCE HOME:/b.eid")
            again(m, "verify HOME:/b.eid nvme:SOURCE")
            leave(m)


def pulled_capture(m, kind, disk):
    """A capture to HOME: whose disk is pulled out when a segment and a half are there."""
    clock = begin(m, "capture nvme:SOURCE HOME:/a.eid")
    m.wait_for(r"^copying", timeout=60)
    wait_until_moved(m, disk, "wr_bytes", 80 * MIB, timeout=120)
    pulled = pull(m, clock, disk)
    check_soon(m, clock, pulled, 6)
    assert "the same command with --continue goes on from here" in m.log(), m.log()[-2000:]
    m.plug_in_again(disk, kind, "DISK")


@contextlib.contextmanager
def pc_with_pulled_disk(kind, volume):
    """Its capture onto the USB disk's volume has been cut off, and the disk is plugged in again."""
    with Machine(screen=True, processors=2) as m:
        source = filled_disk(m, "source", BIG)
        home = Partitions(m, "home", 512).format(1, volume, "HOME")
        m.add_stick()
        m.add_nvme(source, "SOURCE")
        disk = add_usb(m, kind, home.path, "DISK")
        m.start()
        pulled_capture(m, kind, disk)
        yield m, source, home


def check_went_on(m, home, volume, source):
    assert "are there already and are not written again" in m.log() and "Verified: read back" in m.log(), m.log()[-2000:]
    partition = home.extract(1)
    check_volume(partition, volume)
    check_image(copy_out(partition, volume, "a.eid", home.path + ".eid"), source)


def check_goes_on(volume):
    """In the same run, with nobody else looking at the volume."""
    for kind in PULLED:
        with pc_with_pulled_disk(kind, volume) as (m, source, home):
            again(m, "capture nvme:SOURCE HOME:/a.eid --continue")
            leave(m)
            check_went_on(m, home, volume, source)


def test_a_capture_goes_on_on_fat():
    """The firmware's FAT driver takes the volume as it is."""
    check_goes_on("vfat")


def test_a_capture_goes_on_on_exfat():
    """We look at the volume ourselves, and leave it as if it had been ejected."""
    check_goes_on("exfat")


def check_goes_on_when_checked(volume, *checker):
    """What we write ourselves is marked as not clean: its checker has to look at it between the two."""
    for kind in PULLED:
        with pc_with_pulled_disk(kind, volume) as (m, source, home):
            again(m, "capture nvme:SOURCE HOME:/a.eid --continue", code="3")
            leave(m)
            partition = home.extract(1)
            subprocess.run([*checker, partition], capture_output=True)
            run("dd", "if=" + partition, "of=" + home.path, "bs=1M", "seek=1", "conv=notrunc")
            m.start()
            command(m, "capture nvme:SOURCE HOME:/a.eid --continue", 0, "Verified: read back", timeout=120)
            leave(m)
            check_went_on(m, home, volume, source)


def test_a_capture_goes_on_on_ext4():
    check_goes_on_when_checked("ext4", "e2fsck", "-fy")


def test_a_capture_goes_on_on_ntfs():
    check_goes_on_when_checked("ntfs", "ntfsfix", "-d")


# -- bad sectors -----------------------------------------------------------------------------------------------------------


def test_unreadable_sectors():
    bad = {"usb-storage": 10001, "usb-uas": 20003}
    with Machine(screen=True) as m:
        disks = {kind: filled_disk(m, kind, 16 * MIB) for kind in bad}
        m.add_xhci(p2=8, p3=8)
        m.add_stick(size=128)
        for kind, sector in bad.items():
            add_usb(m, kind, disks[kind], "BAD-" + kind, inject=[{"iotype": "read", "sector": sector}])
        m.start()
        for kind, sector in bad.items():
            command(m, "capture usb:BAD-%s stick:/%s.bad" % (kind, kind), 4, "error: source usb:BAD-%s: " % kind, "(read) at %d" % sector)
            command(m, "capture usb:BAD-%s stick:/%s.eid --salvage" % (kind, kind), 9,
                    "warning: usb:BAD-%s: 512 bytes at byte %d cannot be read; stored as zeroes." % (kind, sector * SECTOR))
        leave(m)
        m.process.wait(timeout=30)
        for kind, sector in bad.items():
            with open(disks[kind], "rb") as file:
                expected = bytearray(file.read())
            expected[sector * SECTOR:(sector + 1) * SECTOR] = bytes(SECTOR)
            check_image(saved_image(m, kind + ".eid"), bytes(expected), holes=True)


def test_sectors_that_cannot_be_written():
    bad = {"usb-storage": 10001, "usb-uas": 20003}
    with Machine(screen=True) as m:
        source = filled_disk(m, "source", 16 * MIB)
        targets = {kind: filled_disk(m, kind, 16 * MIB) for kind in bad}
        m.add_xhci(p2=8, p3=8)
        m.add_stick()
        m.add_nvme(source, "SOURCE")
        for kind, sector in bad.items():
            add_usb(m, kind, targets[kind], "WORN-" + kind, inject=[{"iotype": "write", "sector": sector}])
        m.start()
        for kind in bad:
            command(m, "clone nvme:SOURCE usb:WORN-%s --yes" % kind, 5, "error: target usb:WORN-%s: " % kind)
        leave(m, 5)
        for target in targets.values():
            check_half_restored(target)


# -- hanging ---------------------------------------------------------------------------------------------------------------


def check_hang(kind):
    """A single read that takes 34 seconds: behind its deadline, and early enough for QEMU, which waits for it in a reset."""
    with Machine(screen=True) as m:
        hanging, healthy = filled_disk(m, "hanging", 8 * MIB), filled_disk(m, "healthy", 8 * MIB)
        m.add_stick(size=128)
        disk = add_usb(m, kind, hanging, "HANGS", throttle={})
        m.add_usb_storage(healthy, "WORKS")
        m.start()
        command(m, "list io=native", 0, "usb:HANGS")
        m.set_throttle(disk, bps_total=15)
        command(m, "list usb:HANGS usb:WORKS", 0, "error: usb:HANGS: no answer in time (read)", "\nusb:WORKS\n", timeout=100)
        m.set_throttle(disk)
        command(m, "capture usb:WORKS stick:/works.eid", 0, "Verified: read back")
        command(m, "capture usb:HANGS stick:/hangs.eid", 0, "Verified: read back", timeout=120)
        leave(m, 0)
        check_image(saved_image(m, "works.eid"), healthy)
        check_image(saved_image(m, "hangs.eid"), hanging)


def test_a_disk_that_hangs():
    check_hang("usb-storage")


def test_a_uas_disk_that_hangs():
    check_hang("usb-uas")
