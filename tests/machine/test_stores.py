# SPDX-License-Identifier: GPL-2.0-or-later
"""Images on NTFS, ext4 and exFAT volumes of disks that our drivers reach: written, read back, restored from, found whole by other programs; also on the
very disk that is saved. What would destroy the image or the stick is refused."""

import os
import re

from disks import Partitions, check_image, check_volume, copy_out, eidolon, sha256
from machine import Machine
from pc import run

TIMEOUT = 200


def check_kept_image(keeper, number, kind, plain, name="pc.eid"):
    """The volume is clean, the image on it whole, and it holds these bytes."""
    volume = keeper.extract(number)
    check_volume(volume, kind)
    check_image(copy_out(volume, kind, name, volume + ".eid"), plain)


def test_ntfs_and_ext4_on_nvme_and_sata():
    volumes = [("NTFS-N", "ntfs"), ("EXT-N", "ext4"), ("NTFS-S", "ntfs"), ("EXT-S", "ext4")]
    job = "".join("capture nvme:SOURCE#1 %s:/pc.eid\n" % label for label, _ in volumes)
    job += "".join("restore %s:/pc.eid sata:TARGET#%d --yes\n" % (label, number) for number, (label, _) in enumerate(volumes, 1))
    with Machine(processors=2) as m:
        source = Partitions(m, "source", 20).fill(1, 0.6)
        target = Partitions(m, "target", 20, 20, 20, 20)
        keepers = [Partitions(m, name, 48, 48) for name in ("nvme", "sata")]
        for place, (label, kind) in enumerate(volumes):
            keepers[place // 2].format(place % 2 + 1, kind, label)
        before = sha256(source.path)
        m.add_stick(files={"EIDOLON/JOB.TXT": job})
        m.add_nvme(source.path, "SOURCE")
        m.add_nvme(keepers[0].path, "KEEPER")
        m.add_ahci_disk(keepers[1].path, "KEEPER")
        m.add_ahci_disk(target.path, "TARGET")
        m.start()
        m.expect_exit(0, timeout=120)
        assert m.log().count("Verified: read back in") == 8, m.log()
        assert sha256(source.path) == before
        plain = source.contents(1)
        for place, (label, kind) in enumerate(volumes):
            assert target.contents(place + 1) == plain, label
            check_kept_image(keepers[place // 2], place % 2 + 1, kind, plain)


def test_exfat_in_folders_and_volumes():
    """On NVMe and SATA: an image in folders that were not there, one that is cut into volumes, one that does not fit."""
    job = ('capture nvme:SOURCE#1 "EXFAT-N:/images/of pcs/pc.eid"\n'
           'restore "EXFAT-N:/images/of pcs/pc.eid" sata:TARGET#1 --yes\n'
           'capture nvme:SOURCE#1 EXFAT-S:\\split.eid --split=80M\n'
           'capture nvme:SOURCE#1 EXFAT-S:\\full.eid\n')
    with Machine(processors=2) as m:
        source = Partitions(m, "source", 100).fill(1, 0.86)
        target = Partitions(m, "target", 100)
        keepers = [Partitions(m, "nvme", 128).format(1, "exfat", "EXFAT-N"), Partitions(m, "sata", 164).format(1, "exfat", "EXFAT-S")]
        before = sha256(source.path)
        m.add_stick(files={"EIDOLON/JOB.TXT": job})
        m.add_nvme(source.path, "SOURCE")
        m.add_nvme(keepers[0].path, "KEEPER")
        m.add_ahci_disk(keepers[1].path, "KEEPER")
        m.add_ahci_disk(target.path, "TARGET")
        m.start()
        m.expect_exit(6, timeout=180)
        assert m.log().count("Verified: read back in") == 3, m.log()
        assert "the image may need" in m.log(), m.log()
        assert sha256(source.path) == before
        plain = source.contents(1)
        assert target.contents(1) == plain
        check_kept_image(keepers[0], 1, "exfat", plain, "images/of pcs/pc.eid")
        volume = keepers[1].extract(1)
        check_volume(volume, "exfat")
        parts = [copy_out(volume, "exfat", "split.eid.%03d" % number, "%s.eid.%03d" % (volume, number)) for number in (1, 2)]
        assert max(os.path.getsize(part) for part in parts) <= 80 << 20
        eidolon("verify", volume + ".eid")
        # What did not fit is there as far as it went.
        assert os.path.getsize(copy_out(volume, "exfat", "full.eid", volume + ".full")) > 32 << 20


def test_the_plan_tells_room_and_volumes_on_fat():
    with Machine() as m:
        m.add_stick(files={"EIDOLON/JOB.TXT": "capture nvme:BIG stick:\\big.eid --raw --dry-run\n"})
        m.add_nvme(m.new_disk("big", 5 << 30), "BIG")
        m.start()
        m.expect_exit(0, timeout=60)
        assert re.search(r"The image comes to about 3\.\d GiB, 5\.\d GiB at the most; \d+ MiB are free where it goes", m.log()), m.log()
        assert "It is cut into files of up to 3.9 GiB (.001, .002, ...), for no file can be larger there." in m.log(), m.log()
        assert "warning: the image will probably not fit" in m.log(), m.log()


def test_source_image_and_target_on_one_disk():
    job = ("capture nvme:HOME#1 NTFS:/pc.eid\ncapture nvme:HOME#1 EXT:/pc.eid\n"
           "restore NTFS:/pc.eid nvme:HOME#4 --yes\nrestore EXT:/pc.eid nvme:HOME#5 --yes\n")
    with Machine(processors=2) as m:
        home = Partitions(m, "home", 20, 48, 48, 20, 20).fill(1, 0.6).format(2, "ntfs", "NTFS").format(3, "ext4", "EXT")
        plain = home.contents(1)
        m.add_stick(files={"EIDOLON/JOB.TXT": job})
        m.add_nvme(home.path, "HOME")
        m.start()
        m.expect_exit(0, timeout=120)
        assert [home.contents(number) == plain for number in (1, 4, 5)] == [True] * 3
        check_kept_image(home, 2, "ntfs", plain)
        check_kept_image(home, 3, "ext4", plain)


def test_what_would_destroy_image_source_or_stick_is_refused():
    refusals = [
        ("restore EXT:/pc.eid nvme: --yes", "the image is on the target itself"),
        ("restore EXT:/pc.eid nvme:#2 --yes", "the image is on the target itself"),
        ("restore EXT:/pc.eid usb: --yes", "usb:STICK is the stick that Eidolon runs from"),
        ("restore stick:/pc.eid usb:#1 --yes", "usb:STICK is the stick that Eidolon runs from"),
        ("clone nvme: usb: --yes", "usb:STICK is the stick that Eidolon runs from"),
        ("clone nvme:#1 nvme: --yes", "source and target are the same disk"),
        ("capture nvme: EXT:/b.eid", "source and target are the same disk"),
        ("capture nvme:#2 EXT:/b.eid", "source and target are the same disk"),
        ("capture usb: stick:/b.eid", "source and target are the same disk"),
        ("capture nvme:#1 EXT:/pc.eid", "exists already"),
    ]
    with Machine(screen=True) as m:
        home = Partitions(m, "home", 12, 32).fill(1).format(2, "ext4", "EXT")
        image = os.path.join(m.disks, "pc.eid")
        eidolon("capture", home.path + "#1", image)
        volume = home.extract(2)
        run("debugfs", "-w", "-R", "write %s pc.eid" % image, volume)
        run("dd", "if=" + volume, "of=" + home.path, "bs=1M", "seek=%d" % (home.offsets[1] >> 20), "conv=notrunc")
        before = sha256(home.path)
        with open(image, "rb") as file:
            contents = file.read()
        m.add_stick(files={"pc.eid": contents})
        m.add_nvme(home.path, "HOME")
        m.start()
        for line, reason in refusals:
            m.wait_for(r"^eidolon> ", timeout=60)
            m.type_text(line + "\n", pause=0.03)
            m.wait_for(r"^(refused|error): .*" + reason)
            m.wait_for(r"exit code 3$")
            assert sha256(home.path) == before, line
        m.wait_for(r"^eidolon> ")
        m.type_text("exit\n")
        m.expect_exit(3)
        assert m.read_stick_file("pc.eid") == contents
