# SPDX-License-Identifier: GPL-2.0-or-later
"""The application starts from a stick beside disks of every kind, says its version and leaves in order."""

from machine import Machine


def test_boots_from_a_stick():
    with Machine() as m:
        m.add_stick()
        m.start()
        m.wait_for(r"^Eidolon \S+", timeout=60)
        m.expect_exit(0)


def test_boots_beside_disks_of_every_kind():
    with Machine(processors=2, screen=True) as m:
        m.add_stick(files={"EIDOLON/JOB.TXT": "list\n"})
        m.add_nvme(m.new_disk("nvme", "1G"), "NVME1", namespaces=[m.new_disk("nvme2", "1G")], mdts=5, logical_block_size=4096,
                   physical_block_size=4096)
        m.add_ahci_disk(m.new_disk("sata", "1G"), "SATA1", inject=[{"iotype": "read", "sector": 4096}])
        m.add_cdrom()
        m.add_usb_storage(m.new_disk("usb", "1G"), "USB1", throttle={"iops_total": 1000})
        m.add_usb_storage(m.new_disk("usb4k", "1G"), "USB4K", logical_block_size=4096, physical_block_size=4096)
        m.add_virtio_blk(m.new_disk("virtio", "1G"), "VIRTIO1", snapshot=True)
        m.add_usb_keyboard()
        m.start()
        m.wait_for(r"^Eidolon \S+", timeout=60)
        m.expect_exit(0)
        assert m.read_stick_file("EIDOLON/JOB.TXT") == b"list\n"
