# SPDX-License-Identifier: GPL-2.0-or-later
"""The PC of the pictures: disks as people have them, sparse files that hold little."""

import contextlib
import os
import re
import subprocess
import tempfile

from disks import write_at
from machine import sparse_file
from pc import MIB, run

GIB = 1 << 30
SECTOR = 512


@contextlib.contextmanager
def partition_device(disk, start, size):
    """A block device of a part of a file, in bytes."""
    device = run("losetup", "-f", "--show", "-o", str(start), "--sizelimit", str(size), disk, text=True).stdout.strip()
    try:
        yield device
    finally:
        run("losetup", "-d", device)


@contextlib.contextmanager
def mounted(device, kind):
    folder = tempfile.mkdtemp(prefix="eidolon-scene-")
    try:
        # Without the threads that fill what mkfs has left for later.
        run(*(["ntfs-3g", device, folder] if kind == "ntfs" else ["mount", "-o", "noinit_itable", device, folder]))
        try:
            yield folder
        finally:
            run("umount", folder)
    finally:
        os.rmdir(folder)


def fill(folder, count, size):
    """Files in many folders, which ext4 puts far from one another."""
    for number in range(count):
        place = os.path.join(folder, "d%04d" % number)
        os.mkdir(place)
        with open(os.path.join(place, "data"), "wb") as file:
            file.write(os.urandom(size // 4) + bytes(size - size // 4))


def make_volume(disk, start, size, kind, label, files=(0, 0)):
    with partition_device(disk, start, size) as device:
        if kind == "vfat":
            run("mkfs.fat", "-F", "32", "-n", label, device)
        elif kind == "ntfs":
            run("mkntfs", "-Q", "-F", "-q", "-L", label, "-p", str(start // SECTOR), "-H", "255", "-S", "63", device)
        elif kind == "exfat":
            run("mkfs.exfat", "-L", label, device)
        else:
            run("mkfs.ext4", "-q", "-F", "-L", label, "-J", "size=8", "-O", "^resize_inode", "-E", "lazy_itable_init=1,nodiscard", device)
        if files[0]:
            with mounted(device, kind) as folder:
                fill(folder, *files)


def make_disk(path, size, partitions):
    """partitions: (MiB, 0 for the rest; type of sgdisk; name; kind of volume or None; label; (files, bytes of each))."""
    sparse_file(path, size)
    words = []
    for number, (length, code, name, *_) in enumerate(partitions, 1):
        words += ["-n", "%d:0:%s" % (number, "+%dM" % length if length else "0"), "-t", "%d:%s" % (number, code), "-c", "%d:%s" % (number, name)]
    run("sgdisk", *words, path)
    table = run("sgdisk", "-p", path, text=True).stdout
    places = re.findall(r"^ +(\d+) +(\d+) +(\d+) ", table, re.MULTILINE)
    for (_, first, last), (_, _, _, kind, label, files) in zip(places, partitions):
        if kind:
            make_volume(path, int(first) * SECTOR, (int(last) + 1 - int(first)) * SECTOR, kind, label, files)
    return [int(first) * SECTOR for _, first, _ in places]


class Scene:
    """The disks in a folder, made once; each machine has copies."""

    def __init__(self, folder):
        self.folder = folder
        esp = (260, "ef00", "EFI system partition", "vfat", "SYSTEM", (0, 0))
        make_disk(self.path("pc"), 256060514304, [
            esp, (16, "0c01", "Microsoft reserved partition", None, None, None),
            (110 * 1024, "0700", "Basic data partition", "ntfs", "Windows", (20, 100 << 10)),
            (0, "8300", "home", "ext4", "home", (300, 48 << 10))])
        make_disk(self.path("spare"), 1000204886016, [(0, "0700", "Basic data partition", "ntfs", "OLD DATA", (5, 200 << 10))])
        make_disk(self.path("small"), 120034123776, [(0, "8300", "", "ext4", "scratch", (0, 0))])
        start = make_disk(self.path("failing"), 500107862016, [(0, "8300", "", "ext4", "photos", (60, 48 << 10))])[0]
        make_disk(self.path("backup"), 2000398934016, [(0, "0700", "Basic data partition", "exfat", "BACKUP", (0, 0))])
        self.bad_sector = self._sector_of_a_file(start)

    def path(self, name):
        return os.path.join(self.folder, name)

    def copy(self, m, name):
        to = os.path.join(m.disks, name + ".img")
        run("cp", "--sparse=always", self.path(name), to)
        return to

    def _sector_of_a_file(self, start):
        size = os.path.getsize(self.path("failing")) - start
        with partition_device(self.path("failing"), start, size - MIB) as device:
            words = subprocess.run(["debugfs", "-R", "blocks /d0030/data", device], check=True, capture_output=True, text=True).stdout.split()
        return start // SECTOR + int(words[0]) * 8

    def plug_in(self, m, backup=None):
        """Into a machine that has its stick; returns the id of the disk to be saved, and of the target. backup: a disk with images."""
        pc = m.add_nvme(self.copy(m, "pc"), "S4GXNF0M812345", throttle={})
        spare = m.add_ahci_disk(self.copy(m, "spare"), "WD-WCC6Y7PLKX2A", model="WDC WD10EZEX-08WN4A0", throttle={})
        m.add_ahci_disk(self.copy(m, "small"), "50026B7782A1", model="KINGSTON SA400S37120G")
        rule = {"event": "read_aio", "iotype": "read", "sector": self.bad_sector, "errno": 5, "once": False}
        m.add_ahci_disk(self.copy(m, "failing"), "Z3T1A9QX", model="ST500DM002-1BD142", inject=[rule])
        m.add_usb_scsi("usb-bot", [backup or self.copy(m, "backup")], "575834314441", vendor="WD", product="My Passport 25E1")
        return pc, spare
