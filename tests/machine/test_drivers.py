# SPDX-License-Identifier: GPL-2.0-or-later
"""Every block device of the machine obeys the same rules: the conformance suite (core/block_conformance.h) on emulated controllers, served by
our drivers and by the firmware's. And what our drivers are worth: faster than the firmware's by far."""

import os
import re

from disks import events, filled_disk, sha256
from machine import Machine, take_precedence
from pc import MIB

SIZE = 64 * MIB
FOUR = {"logical_block_size": 4096, "physical_block_size": 4096}

ALONE = {"test_our_drivers_are_faster"}


def check_conformance(m, expected, written=True, code=0):
    """expected: {name: (driver, bytes of a block)}; each must have passed. CD drives are never written to."""
    m.expect_exit(code, timeout=150)
    found = {name: (verdict, driver, int(block), mode) for name, verdict, driver, block, mode in re.findall(
        r"^conformance: (\S+): (.*) \(driver (\w+), blocks of (\d+) bytes, (written|reads only), \d+ ms\)$", m.log(), re.MULTILINE)}
    assert found == {name: ("ok", *what, "written" if written and what[1] != 2048 else "reads only")
                     for name, what in expected.items()}, m.log()[-3000:]


def add_disks(m):
    """Disks for either kind of driver, and a CD."""
    paths = [filled_disk(m, name, SIZE) for name in ("n512", "n4k-1", "n4k-2", "small", "s512", "s512e")]
    m.add_nvme(paths[0], "N512")
    m.add_nvme(paths[1], "N4K", namespaces=[paths[2]], **FOUR)
    m.add_nvme(paths[3], "SMALL", mdts=1)
    m.add_ahci_disk(paths[4], "S512")
    m.add_ahci_disk(paths[5], "S512E", logical_block_size=512, physical_block_size=4096)
    m.add_cdrom(filled_disk(m, "cd", 8 * MIB))
    return paths


def check_written(paths, before):
    for path, was in zip(paths, before):
        assert sha256(path) != was, path + " was not written to"
        assert os.path.getsize(path) == SIZE


def test_our_drivers():
    with Machine(command="conformance nvme:N512 nvme:N4K nvme:N4K/n2 nvme:SMALL sata:S512 sata:S512E sata:QM usb:STICK --yes") as m:
        paths = add_disks(m)
        before = [sha256(path) for path in paths]
        m.add_stick()
        m.start()
        cd = m.wait_for(r"^conformance: (sata:QM\S+):", timeout=150).group(1)
        check_conformance(m, {"nvme:N512": ("nvme", 512), "nvme:N4K": ("nvme", 4096), "nvme:N4K/n2": ("nvme", 4096),
                              "nvme:SMALL": ("nvme", 512), "sata:S512": ("ahci", 512), "sata:S512E": ("ahci", 512),
                              cd: ("ahci", 2048)}, code=3)
        assert "error: usb:STICK: refused (write): Eidolon runs from this disk" in m.log(), m.log()
        check_written(paths, before)


def test_firmware_drivers():
    names = "nvme:N512 nvme:N4K nvme:N4K/n2 nvme:SMALL sata:S512 sata:S512E usb:U512 usb:U4K sata:QM virtio:"
    with Machine(command="conformance io=firmware %s --yes" % names) as m:
        paths = add_disks(m) + [filled_disk(m, name, SIZE) for name in ("usb", "usb4k", "virtio")]
        before = [sha256(path) for path in paths]
        m.add_stick()
        m.add_usb_storage(paths[6], "U512")
        m.add_usb_storage(paths[7], "U4K", **FOUR)
        m.add_virtio_blk(paths[8], "V512")
        m.start()
        cd = m.wait_for(r"^conformance: (sata:QM\S+):", timeout=150).group(1)
        virtio = m.wait_for(r"^conformance: (virtio:\S+):", timeout=150).group(1)
        check_conformance(m, {cd: ("firmware", 2048), **{
            name: ("firmware", 4096 if "4K" in name else 512) for name in [*names.split()[:-2], virtio]}})
        check_written(paths, before)


def test_without_yes_nothing_is_written():
    with Machine(command="conformance nvme:N512 sata:S512 usb:U512 usb:STICK") as m:
        paths = [filled_disk(m, name, SIZE) for name in ("nvme", "sata", "usb")]
        before = [sha256(path) for path in paths]
        m.add_stick()
        m.add_nvme(paths[0], "N512")
        m.add_ahci_disk(paths[1], "S512")
        m.add_usb_storage(paths[2], "U512")
        m.start()
        check_conformance(m, {"nvme:N512": ("nvme", 512), "sata:S512": ("ahci", 512), "usb:U512": ("usb", 512),
                              "usb:STICK": ("usb", 512)}, written=False)
        assert [sha256(path) for path in paths] == before


def test_our_drivers_are_faster():
    """Reads of 64 KiB, our driver with its queue against the firmware's, in one guest. The bounds are far below what is usual: hosts are busy."""
    take_precedence()
    with Machine(command="measure nvme:FAST sata:DISK --json") as m:
        m.add_stick()
        m.add_nvme(filled_disk(m, "nvme", SIZE), "FAST")
        m.add_ahci_disk(filled_disk(m, "sata", SIZE), "DISK")
        m.start()
        m.expect_exit(0, timeout=100)
        ratios = {event["driver"]: event["bytes_per_second"] / event["firmware_bytes_per_second"] for event in events(m, "measure")}
        for event in events(m, "measure"):
            print("%s: %.0f MB/s, the firmware's driver %.0f MB/s: %.1f times" % (
                event["driver"], event["bytes_per_second"] / 1e6, event["firmware_bytes_per_second"] / 1e6, ratios[event["driver"]]))
        assert ratios["nvme"] >= 1.5 and ratios["ahci"] >= 3, ratios
