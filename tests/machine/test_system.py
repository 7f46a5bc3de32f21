# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian system on an NVMe disk is captured by the stick, restored onto a bigger AHCI disk, and boots from there to its login prompt."""

import os

from debian import make_debian_disk
from machine import Machine
from pc import MIB, run

TIMEOUT = 900

JOB = """capture nvme:OLD-DISK ARCHIVE:/debian.eid --level=1
restore ARCHIVE:/debian.eid sata:NEW-DISK --yes
then poweroff
"""


def test_debian_moves_to_a_bigger_disk():
    with Machine(processors=2, memory="1G", timeout=600) as m:
        old, new, archive = (os.path.join(m.disks, name) for name in ("old.img", "new.img", "archive.img"))
        make_debian_disk(old)
        m.new_disk("new", "3G")
        run("mkfs.ext4", "-q", "-F", "-L", "ARCHIVE", archive, "1500M")
        m.add_stick(files={"EIDOLON/JOB.TXT": JOB})
        m.add_nvme(old, "OLD-DISK")
        m.add_ahci_disk(archive, "ARCHIVE")
        m.add_ahci_disk(new, "NEW-DISK")
        m.start()
        m.expect_exit(None, timeout=500)
        log = m.log()
        assert log.count("Verified: read back") == 2, log[-3000:]
        verdict = run("sgdisk", "-v", new, text=True).stdout
        assert "No problems found" in verdict, verdict
        assert os.path.getsize(new) == 3 << 30
        new_disk = os.rename(new, new + ".kept") or new + ".kept"
        boot_to_login(new_disk)


def boot_to_login(disk):
    with Machine("system-restored", processors=2, memory="1G", timeout=400) as m:
        m.add_ahci_disk(disk, "NEW-DISK", bootindex=0)
        m.start()
        m.wait_for(r"restored-pc login:", timeout=380, source="serial")
