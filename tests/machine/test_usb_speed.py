# SPDX-License-Identifier: GPL-2.0-or-later
"""What our USB drivers are worth: in one guest, UAS with its queue against the firmware's bulk-only driver, and ours at bulk-only against it."""

import re

from disks import events, filled_disk
from machine import Machine, take_precedence
from pc import MIB

TIMEOUT = 240
ALONE = {"test_reads", "test_writes"}
KIB64, MIB1 = 65536, MIB


def megabytes(rate):
    return rate / 1e6


def test_reads():
    """The bounds are far below what is usual: hosts are busy."""
    take_precedence()
    with Machine(command="measure usb:UAS usb:BULK --json") as m:
        m.add_xhci(p2=8, p3=8)
        # Not on the controller that the firmware measures: its driver meets an invalid opcode beside a UAS device.
        second = m.add_xhci(p2=8, p3=8)
        m.add_stick()
        m.add_uas(filled_disk(m, "uas", 64 * MIB), "UAS", bus=second + ".0")
        m.add_usb_storage(filled_disk(m, "bulk", 64 * MIB), "BULK")
        m.start()
        m.expect_exit(0, timeout=120)
        rates = {event["driver"]: {size["request_bytes"]: size for size in event["sizes"]} for event in events(m, "measure")}
        uas, bulk = rates["uas"], rates["usb"]
        for size in (KIB64, MIB1):
            print("%4d KiB: UAS %.0f (depth 1: %.0f), bulk-only %.0f (depth 1: %.0f), the firmware's bulk-only %.0f MB/s" % (
                size >> 10, *(megabytes(rate) for rate in (uas[size]["depth_32"], uas[size]["depth_1"], bulk[size]["depth_32"],
                                                          bulk[size]["depth_1"], bulk[size]["firmware"]))))
        assert uas[KIB64]["depth_32"] >= 1.5 * bulk[KIB64]["firmware"], rates
        assert max(bulk[MIB1]["depth_1"], bulk[MIB1]["depth_32"]) >= 0.9 * bulk[MIB1]["firmware"], rates


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
