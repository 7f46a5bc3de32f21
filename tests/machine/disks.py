# SPDX-License-Identifier: GPL-2.0-or-later
"""Small disks for tests: random contents, partitions, volumes that keep images."""

import hashlib
import json
import os
import subprocess

from machine import BUILD, sparse_file
from pc import MIB, run

EXFAT_CAT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support/exfat_cat.py")
MTOOLS = dict(os.environ, MTOOLS_SKIP_CHECK="1")


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_at(path, offset, size):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def write_at(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def filled_disk(m, name, size):
    """A disk full of random bytes."""
    path = m.new_disk(name, size)
    for at in range(0, size, 16 * MIB):
        write_at(path, at, os.urandom(min(16 * MIB, size - at)))
    return path


class Partitions:
    """A disk with a GPT and partitions of these sizes in MiB from 1 MiB on, which follow one another."""

    def __init__(self, m, name, *sizes, room=2):
        self.path = m.new_disk(name, (1 + sum(sizes) + room) * MIB)
        self.sizes = [size * MIB for size in sizes]
        self.offsets = [(1 + sum(sizes[:number])) * MIB for number in range(len(sizes))]
        words = [word for number, size in enumerate(sizes, 1) for word in ("-n", "%d:0:+%dM" % (number, size))]
        run("sgdisk", *words, self.path)

    def fill(self, number, share=1.0):
        """Random bytes from the partition's start on, zeroes in the rest."""
        write_at(self.path, self.offsets[number - 1], os.urandom(int(self.sizes[number - 1] * share)))
        return self

    def contents(self, number, disk=None):
        """The partition's bytes, or what is at its place on another disk."""
        return read_at(disk or self.path, self.offsets[number - 1], self.sizes[number - 1])

    def format(self, number, kind, label):
        """An empty volume of vfat, ext4, exfat or ntfs."""
        scratch = sparse_file(self.path + ".volume", self.sizes[number - 1])
        if kind == "vfat":
            run("mkfs.fat", "-F", "32", "-n", label, scratch)
        elif kind == "ext4":
            run("mkfs.ext4", "-q", "-F", "-L", label, scratch)
        elif kind == "exfat":
            run("mkfs.exfat", "-L", label, scratch)
        else:
            run("mkntfs", "-Q", "-F", "-q", "-L", label, "-p", str(self.offsets[number - 1] // 512), "-H", "255", "-S", "63", scratch)
        run("dd", "if=" + scratch, "of=" + self.path, "bs=1M", "seek=%d" % (self.offsets[number - 1] // MIB), "conv=notrunc,sparse")
        os.remove(scratch)
        return self

    def extract(self, number):
        """A file with the partition's bytes."""
        path = "%s.%d" % (self.path, number)
        run("dd", "if=" + self.path, "of=" + path, "bs=1M", "skip=%d" % (self.offsets[number - 1] // MIB),
            "count=%d" % (self.sizes[number - 1] // MIB), "conv=sparse")
        return path


def copy_out(volume, kind, name, target):
    """Copies a file out of a volume, which need not be clean, by another's reader."""
    with open(target, "wb") as file:
        if kind == "vfat":
            subprocess.run(["mtype", "-i", volume, "::" + name], stdout=file, check=True, env=MTOOLS)
        elif kind == "ntfs":
            subprocess.run(["ntfscat", "-f", volume, name], stdout=file, check=True, stderr=subprocess.DEVNULL)
        elif kind == "exfat":
            subprocess.run([EXFAT_CAT, volume, name], stdout=file, check=True)
        else:
            subprocess.run(["debugfs", "-R", "cat " + name, volume], stdout=file, check=True, stderr=subprocess.DEVNULL)
    return target


def check_volume(volume, kind):
    """The system's own programs find nothing to say. ntfsls, unlike ntfsfix, refuses a volume that is marked as not clean."""
    checks = {"vfat": [["fsck.fat", "-n"]], "ext4": [["e2fsck", "-fn"]], "ntfs": [["ntfsfix", "-n"], ["ntfsls"]],
              "exfat": [["fsck.exfat", "-n"], [EXFAT_CAT]]}
    for command in checks[kind]:
        run(*command, volume)


def eidolon(*words, expect=0):
    """Runs the host program and returns what it said."""
    result = subprocess.run([os.path.join(BUILD, "eidolon"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace")
    assert result.returncode == expect, "%s ended with %d, expected %d:\n%s" % (" ".join(words), result.returncode, expect, result.stdout)
    return result.stdout


def check_image(image, plain, holes=False):
    """Our program accepts the image, and stock zstd makes exactly these bytes of it. plain: a path, or bytes. holes: of a disk that could
    not be read whole, and it says so."""
    said = eidolon("verify", image, expect=9 if holes else 0)
    assert ("was unreadable when the image was made" in said) == holes, said
    with subprocess.Popen(["zstd", "-dc", image], stdout=subprocess.PIPE) as decoder:
        digest = hashlib.file_digest(decoder.stdout, "sha256").hexdigest()
    assert decoder.returncode == 0, image
    assert digest == (sha256(plain) if isinstance(plain, str) else hashlib.sha256(plain).hexdigest()), image


def events(m, kind=None):
    """The JSON lines of the log."""
    found = []
    for line in m.log().splitlines():
        if line.startswith("{") and line.endswith("}"):
            found.append(json.loads(line))
    return [event for event in found if kind is None or event["event"] == kind]
