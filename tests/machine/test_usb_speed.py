# SPDX-License-Identifier: GPL-2.0-or-later
"""What our USB drivers are worth: in one guest, UAS with its queue against the firmware's bulk-only driver, and ours at bulk-only against it."""

import re

from disks import events, filled_disk, read_at, sha256
from machine import Machine, take_precedence
from pc import MIB

TIMEOUT = 240
ALONE = {"test_reads", "test_write_speed", "test_writes"}
KIB64, MIB1 = 65536, MIB


def megabytes(rate):
    return rate / 1e6


def add_both(m):
    """A UAS disk and a bulk-only one. Returns their files."""
    m.add_xhci(p2=8, p3=8)
    # Not on the controller that the firmware measures: its driver meets an invalid opcode beside a UAS device.
    second = m.add_xhci(p2=8, p3=8)
    m.add_stick()
    paths = [filled_disk(m, name, 64 * MIB) for name in ("uas", "bulk")]
    m.add_uas(paths[0], "UAS", bus=second + ".0")
    m.add_usb_storage(paths[1], "BULK")
    return paths


def test_reads():
    """The bounds are far below what is usual: hosts are busy."""
    take_precedence()
    with Machine(command="measure usb:UAS usb:BULK --json") as m:
        add_both(m)
        m.start()
        m.expect_exit(0, timeout=120)
        rates = {event["driver"]: {size["request_bytes"]: size for size in event["sizes"]} for event in events(m, "measure")}
        uas, bulk = rates["uas"], rates["usb"]
        for size in (KIB64, MIB1):
            ours, firmware = bulk[size]["depth_32"], bulk[size]["firmware"]
            print("%4d KiB: UAS %.0f (depth 1: %.0f), bulk-only %.0f (depth 1: %.0f), the firmware's bulk-only %.0f MB/s; ratios %.2f, %.2f" % (
                size >> 10, *(megabytes(rate) for rate in (uas[size]["depth_32"], uas[size]["depth_1"], ours, bulk[size]["depth_1"],
                                                           firmware)), uas[size]["depth_32"] / firmware, ours / firmware))
        assert uas[KIB64]["depth_32"] >= 1.5 * bulk[KIB64]["firmware"], rates
        assert max(bulk[MIB1]["depth_1"], bulk[MIB1]["depth_32"]) >= 0.9 * bulk[MIB1]["firmware"], rates


def measure_write_speed():
    """{(disk, size of request): our rate at depth 32 divided by the firmware's}, measured in one guest."""
    with Machine(command="conformance write-speed usb:UAS usb:BULK --yes") as m:
        paths = add_both(m)
        before = [sha256(path) for path in paths]
        m.start()
        m.expect_exit(0, timeout=120)
        lines = re.findall(r"^write-speed: .*", m.log(), re.MULTILINE)
        print("\n".join(lines))
        ratios = {}
        for line in lines:
            disk, driver, size, ratio = re.search(
                r"usb:(\w+) \(driver (\w+)\), (64 KiB|1 MiB) at a time: .* on usb:BULK, ratio ([\d.]+)$", line).groups()
            assert driver == {"UAS": "uas", "BULK": "usb"}[disk], line
            ratios[disk, size] = float(ratio)
        assert sorted(ratios) == [("BULK", "1 MiB"), ("BULK", "64 KiB"), ("UAS", "1 MiB"), ("UAS", "64 KiB")], lines
        for path, was in zip(paths, before):
            assert sha256(path) != was, path + " was not written to"
        return ratios


def test_write_speed():
    """The aims are 2 times for UAS at 64 KiB, and as fast for bulk-only at 1 MiB. Hosts are busy: a guest that falls far below is tried
    again, twice at the most."""
    take_precedence()
    for _ in range(3):
        ratios = measure_write_speed()
        if ratios["UAS", "64 KiB"] >= 1 and ratios["BULK", "1 MiB"] >= 0.7:
            return
    raise AssertionError(ratios)


def test_write_speed_is_refused():
    """Without the person's word, and for the boot disk in any case."""
    for words, sentence in (("usb:OTHER", "it needs --yes"), ("usb:STICK --yes", "Eidolon runs from this disk"),
                            ("usb:STICK usb:OTHER --yes", "Eidolon runs from this disk")):
        with Machine(command="conformance write-speed " + words) as m:
            stick = m.new_stick()
            other = filled_disk(m, "other", 8 * MIB)
            # The log goes onto the stick: not to its first MiB, where the writes would begin.
            before = read_at(stick, 0, MIB), sha256(other)
            m.add_xhci(p2=8, p3=8)
            m.add_stick(stick)
            m.add_usb_storage(other, "OTHER")
            m.start()
            m.expect_exit(3)
            assert sentence in m.log(), m.log()
            assert (read_at(stick, 0, MIB), sha256(other)) == before, words


def test_write_speed_knows_the_disk():
    """The firmware has no usb:UAS, and a usb:UAS2 that the name would fit: nobody has said that it may be written to."""
    with Machine(command="conformance write-speed usb:UAS --yes") as m:
        m.add_xhci(p2=8, p3=8)
        second = m.add_xhci(p2=8, p3=8)
        m.add_stick()
        m.add_uas(filled_disk(m, "uas", 8 * MIB), "UAS", bus=second + ".0")
        other = filled_disk(m, "other", 8 * MIB)
        before = sha256(other)
        m.add_usb_storage(other, "UAS2")
        m.start()
        m.expect_exit(0, timeout=120)
        assert "the firmware's usb:UAS2 is not the disk that was written to just now; it is left alone" in m.log(), m.log()
        assert len(re.findall(r"^write-speed: usb:UAS \(driver uas\), .* depth 32 [^;\n]*/s$", m.log(), re.MULTILINE)) == 2, m.log()
        assert sha256(other) == before


def test_writes():
    """A clone of an NVMe disk onto USB, not read back: how long copying took."""
    take_precedence()
    times = {}
    # Of two rounds in one guest the better counts; the firmware's goes last, for it keeps the controller.
    for words, serial in (("", "UAS"), ("", "BULK"), ("io=firmware", "BULK")):
        job = "".join("clone nvme:SOURCE usb:%s --yes --no-verify --json\n" % serial for _ in range(3)) + "then return\n"
        with Machine(processors=2) as m:
            m.add_xhci(p2=8, p3=8)
            m.add_stick(files={"EIDOLON/JOB.TXT": (words + "\n" if words else "") + job})
            m.add_nvme(filled_disk(m, "source", 96 * MIB), "SOURCE")
            target = filled_disk(m, "target", 96 * MIB)
            m.add_uas(target, "UAS") if serial == "UAS" else m.add_usb_storage(target, "BULK")
            m.start()
            m.expect_exit(0, timeout=150)
            taken = re.search(r"is taken from the firmware", m.log())
            assert bool(taken) == (not words), m.log()
            times[words + serial] = min(event["copy_milliseconds"] for event in events(m, "result"))
    print("96 MiB written: UAS %d ms, bulk-only %d ms, the firmware's bulk-only %d ms" % (
        times["UAS"], times["BULK"], times["io=firmwareBULK"]))
    assert times["UAS"] <= times["io=firmwareBULK"], times
