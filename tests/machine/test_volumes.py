# SPDX-License-Identifier: GPL-2.0-or-later
"""Where images can go and which are there: FAT, exFAT, NTFS and ext4 volumes of USB, NVMe and SATA disks, by the firmware's drivers and by ours."""

import json

from disks import Partitions, write_at
from machine import Machine
from pc import run

NAME = "Größe α 漢.eid"
KEEPERS = [("FAT-N", "vfat", "fat32"), ("EXFAT-N", "exfat", "exfat"), ("NTFS-N", "ntfs", "ntfs"), ("EXT-N", "ext4", "ext4")]


def answers(m, key):
    """What the commands said in JSON that has this key."""
    objects = [json.loads(line) for line in m.log().splitlines() if line.startswith("{") and line.endswith("}")]
    return [answer for answer in objects if key in answer]


def test_volumes_and_files():
    folders = ["stick:\\"] + ["%s:\\lab 7" % label for label, _, _ in KEEPERS]
    job = "volumes --json\nfiles EXT-N:\\ --json\n"
    job += "".join('capture nvme:KEEPER#5 "%s:\\lab 7\\tief\\%s"\n' % (label, NAME) for label, _, _ in KEEPERS)
    job += "".join('files "%s" --json\n' % folder for folder in folders)
    job += "".join('files "%s:\\lab 7\\tief" --json\n' % label for label, _, _ in KEEPERS)
    # For this the USB controller changes hands.
    job += "capture nvme:KEEPER#5 stick:\\images\\usb.eid\nvolumes --json\nfiles stick:\\images --json\nvolumes\nfiles DIRTY:\\\nfiles NOWHERE:\\\n"
    with Machine(processors=2) as m:
        keeper = Partitions(m, "keeper", 48, 40, 40, 40, 8).fill(5, 0.5)
        for number, (label, kind, _) in enumerate(KEEPERS, 1):
            keeper.format(number, kind, label)
        volume = keeper.extract(4)
        run("debugfs", "-w", "-R", "mkdir früher", volume)
        run("dd", "if=" + volume, "of=" + keeper.path, "bs=1M", "seek=%d" % (keeper.offsets[3] >> 20), "conv=notrunc")
        others = Partitions(m, "others", 16, 16, 16, 16).format(1, "ext4", "TWICE").format(2, "ext4", "TWICE").format(3, "exfat", "DIRTY")
        write_at(others.path, others.offsets[2] + 106, b"\x02")
        write_at(others.path, others.offsets[3], b"\xeb\x58\x90-FVE-FS-")
        m.add_stick(files={"EIDOLON/JOB.TXT": job})
        m.add_nvme(keeper.path, "KEEPER")
        m.add_ahci_disk(others.path, "OTHERS")
        m.start()
        m.wait_for(r"exit code 2; the rest was not run", timeout=180)
        m.expect_exit(2)

        first, second = [answer["volumes"] for answer in answers(m, "volumes")]
        names = [volume["name"] for volume in first]
        assert names[:5] == ["stick"] + [label for label, _, _ in KEEPERS], names
        assert first[0]["is_stick"] and not first[0]["is_system"] and first[0]["disk"] == "usb:STICK", first[0]
        for number, (volume, (label, _, kind)) in enumerate(zip(first[1:], KEEPERS), 1):
            assert volume["label"] == label and volume["filesystem"] == kind and volume["folder"] == label + ":\\", volume
            assert volume["disk"] == "nvme:KEEPER" and volume["partition"] == number, volume
            assert volume["can_read"] and volume["can_write"] and not volume["why"] and not volume["is_stick"], volume
            assert 24 << 20 < volume["free_bytes"] < volume["bytes"] <= keeper.sizes[number - 1], volume
            assert (volume.get("max_file_bytes") == 0xFFFFFFFF) == (kind == "fat32"), volume
        twice = [volume for volume in first if volume["label"] == "TWICE"]
        assert len(twice) == 2 and all(volume["name"] == volume["uuid"] for volume in twice), twice
        dirty = [volume for volume in first if volume["name"] == "DIRTY"][0]
        assert dirty["can_read"] and not dirty["can_write"] and "not ejected cleanly" in dirty["why"], dirty
        locked = [volume for volume in first if volume["filesystem"] == "bitlocker"][0]
        assert not locked["can_read"] and "BitLocker" in locked["why"] and not locked["name"], locked
        assert len(first) == 9, names

        # The same volumes by our USB driver; only what is free has changed.
        assert "is taken from the firmware" in m.log()
        for before, after in zip(first, second, strict=True):
            if after["is_stick"] or after["disk"] == "nvme:KEEPER":
                assert before.pop("free_bytes") > after.pop("free_bytes"), after
            assert before == after

        files = {answer["folder"]: answer["files"] for answer in answers(m, "files")}
        assert [file["name"] for file in files["EXT-N:\\"]] == ["früher", "lost+found"], files
        assert [file["name"] for file in files["stick:\\"]] == ["EFI", "EIDOLON"], files
        for label, _, _ in KEEPERS:
            assert files["%s:\\lab 7" % label][0]["name"] == "tief" and files["%s:\\lab 7" % label][0]["is_folder"], files
            image, = files["%s:\\lab 7\\tief" % label]
            assert image["name"] == NAME and not image["is_folder"] and 4 << 20 < image["bytes"] < 8 << 20, image
            assert image["modified"] > 1700000000, image
        assert [file["name"] for file in files["stick:\\images"]] == ["usb.eid"], files
        assert "for reading only: it was not ejected cleanly" in m.log(), m.log()
        assert "The folder is empty." in m.log(), m.log()
        assert "no volume has the label or UUID NOWHERE" in m.log(), m.log()
