# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of a PC for tests and the demo: real files on NTFS and ext4, garbage in every unused block, and the comparison afterwards.

Needs root (mounts through loop devices and ntfs-3g). The files come from this machine's own /usr: programs, texts, compressed
ones; they differ from machine to machine, what is compared does not.
"""

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import tempfile

MIB = 1 << 20
MARKER = b"EIDOLON-TEST-GARBAGE"
# Blocks that a file system itself counts as in use before it has written them (spare records of the MFT).
TOLERATED_GARBAGE = 8
SOURCES = ["/usr/bin", "/usr/share/doc", "/usr/lib/x86_64-linux-gnu", "/usr/share", "/usr/lib"]


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, **options)


def fill_with_garbage(path, size, seed=1):
    """A file full of incompressible bytes with a marker at each 4 KiB, so that one kept block gives itself away."""
    block = bytearray(random.Random(seed).randbytes(MIB))
    for at in range(0, MIB, 4096):
        block[at:at + len(MARKER)] = MARKER
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(block)


def count_marker(path):
    """How many blocks of garbage a file (or the output of a pipe) holds."""
    found = 0
    with (open(path, "rb") if isinstance(path, str) else path) as file:
        while block := file.read(16 * MIB):
            found += block.count(MARKER)
    return found


@contextlib.contextmanager
def mounted(path, kind, read_only=False):
    """The folder where the volume in a file is mounted (FAT: copied out, for reading only)."""
    folder = tempfile.mkdtemp(prefix="eidolon-mount-")
    try:
        if kind == "vfat":  # many a kernel comes without a driver for it
            run("mcopy", "-s", "-n", "-i", path, "::", folder)
            yield folder
            shutil.rmtree(folder)
            os.mkdir(folder)
            return
        if kind == "ntfs":
            run("ntfs-3g", "-o", ("ro" if read_only else "rw") + ",compression,streams_interface=none", path, folder)
        else:
            run("mount", "-o", "loop" + (",ro" if read_only else ""), path, folder)
        try:
            yield folder
        finally:
            run("umount", folder)
    finally:
        os.rmdir(folder)


def copy_real_files(folder, total, seed=1):
    """Copies real files until `total` bytes are there. Every third is written in turns with its neighbours and some are deleted again, so that files and free space
    are in pieces."""
    chooser = random.Random(seed)
    candidates = []
    for source in SOURCES:
        for root, folders, names in os.walk(source):
            folders.sort()
            candidates += [os.path.join(root, name) for name in sorted(names)]
            if len(candidates) > 60000:
                break
    candidates = [path for path in candidates if os.path.isfile(path) and not os.path.islink(path) and 0 < os.path.getsize(path) < 24 * MIB]
    chooser.shuffle(candidates)
    written, number, doomed, turn = 0, 0, [], []
    while written < total and candidates:
        path = candidates.pop()
        size = os.path.getsize(path)
        if written + size > total + MIB:
            continue
        target = os.path.join(folder, "d%02d" % (number % 20), "%05d-%s" % (number, os.path.basename(path)[-60:].replace(":", "_")))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        number += 1
        written += size
        if number % 3:
            shutil.copyfile(path, target)
            if number % 7 == 0:
                doomed.append(target)
                written -= size
        else:
            turn.append((path, target))
        if len(turn) == 6:
            copy_in_turns(turn)
            turn = []
    copy_in_turns(turn)
    for target in doomed:
        os.remove(target)
    return number


def copy_in_turns(pairs):
    """Appends 64 KiB to one file after the other until all are whole."""
    handles = [(open(source, "rb"), open(target, "wb", buffering=0)) for source, target in pairs]
    alive = handles[:]
    while alive:
        for pair in alive[:]:
            piece = pair[0].read(65536)
            if piece:
                pair[1].write(piece)
                os.fsync(pair[1].fileno())
            else:
                alive.remove(pair)
    for source, target in handles:
        source.close()
        target.close()


def add_special_ntfs_files(folder):
    """Sparse and compressed files; attribute names as ntfs-3g has them."""
    with open(os.path.join(folder, "sparse.bin"), "wb") as file:
        for at in (0, 5 * MIB, 11 * MIB):
            file.seek(at)
            file.write(b"island" * 3000)
        file.truncate(16 * MIB)
    os.setxattr(os.path.join(folder, "sparse.bin"), "system.ntfs_attrib_be", bytes.fromhex("00000200"))
    packed = os.path.join(folder, "packed")
    os.mkdir(packed)
    os.setxattr(packed, "system.ntfs_attrib_be", bytes.fromhex("00000800"))
    with open(os.path.join(packed, "text.txt"), "wb") as file:
        for number in range(60000):
            file.write(b"line %d of a text that compresses well\n" % number)


def make_ntfs(path, size, used, seed=1):
    fill_with_garbage(path, size, seed)
    run("mkntfs", "-Q", "-F", "-q", "-L", "Windows", "-p", "2048", "-H", "255", "-S", "63", path)
    with mounted(path, "ntfs") as folder:
        copy_real_files(folder, used, seed)
        add_special_ntfs_files(folder)


def make_ext4(path, size, used, seed=2, options=()):
    fill_with_garbage(path, size, seed)
    # Without reserved descriptor blocks: these count as in use and mke2fs does not clear them.
    run("mkfs.ext4", "-q", "-F", "-L", "linux", "-b", "4096", "-O", "^resize_inode", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", *options, path)
    with mounted(path, "ext4") as folder:
        copy_real_files(folder, used, seed)
        with open(os.path.join(folder, "sparse.bin"), "wb") as file:
            file.seek(9 * MIB)
            file.write(b"end")


def make_esp(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    run("mkfs.fat", "-F", "32", "-n", "ESP", path)
    run("mmd", "-i", path, "::EFI", "::EFI/BOOT")
    with tempfile.NamedTemporaryFile() as file:
        file.write(os.urandom(300000))
        file.flush()
        run("mcopy", "-i", path, file.name, "::EFI/BOOT/BOOTX64.EFI")


def make_swap(path, size):
    fill_with_garbage(path, size, 3)
    run("mkswap", path)


def make_tree(volume, kind):
    """{relative path: hash of the contents} of every file, through the system's own driver."""
    hashes = {}
    with mounted(volume, kind, read_only=True) as folder:
        for root, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(root, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as file:
                        hashes[os.path.relpath(path, folder)] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


class PcDisk:
    """A disk with ESP, MSR, NTFS, ext4 and swap; partition numbers 1 to 5. Sizes in MiB."""

    KINDS = {1: "vfat", 3: "ntfs", 4: "ext4"}

    def __init__(self, path, ntfs=400, ext4=400, used_share=0.5, esp=48, swap=32):
        self.path = path
        self.sizes = {1: esp, 2: 16, 3: ntfs, 4: ext4, 5: swap}
        self.bytes = (sum(self.sizes.values()) + 2) * MIB
        with open(path, "wb") as file:
            file.truncate(self.bytes)
        types = {1: "ef00", 2: "0c01", 3: "0700", 4: "8300", 5: "8200"}
        names = {1: "EFI system partition", 2: "Microsoft reserved", 3: "Windows", 4: "Linux", 5: "Swap"}
        command = ["sgdisk", path]
        for number, size in self.sizes.items():
            command += ["-n", "%d:0:+%dM" % (number, size), "-t", "%d:%s" % (number, types[number]), "-c", "%d:%s" % (number, names[number])]
        run(*command)
        self.offsets, at = {}, 1
        for number, size in self.sizes.items():
            self.offsets[number] = at * MIB
            at += size
        self._with_volume(1, lambda volume, size: make_esp(volume, size))
        self._with_volume(3, lambda volume, size: make_ntfs(volume, size, int(size * used_share) - 20 * MIB))
        self._with_volume(4, lambda volume, size: make_ext4(volume, size, int(size * used_share) - 20 * MIB))
        self._with_volume(5, lambda volume, size: make_swap(volume, size))
        self.trees = {number: make_tree(self.extract(number, volume), kind) for number, kind, volume in self._volumes()}

    def _volumes(self):
        for number, kind in self.KINDS.items():
            with tempfile.NamedTemporaryFile(dir=os.path.dirname(self.path)) as file:
                yield number, kind, file.name

    def _with_volume(self, number, make):
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(self.path)) as file:
            make(file.name, self.sizes[number] * MIB)
            run("dd", "if=" + file.name, "of=" + self.path, "bs=1M", "seek=%d" % (self.offsets[number] // MIB), "conv=notrunc")

    def extract(self, number, volume, disk=None):
        """Copies the partition's bytes from `disk` (this one without it) into the file `volume`."""
        run("dd", "if=" + (disk or self.path), "of=" + volume, "bs=1M", "skip=%d" % (self.offsets[number] // MIB),
            "count=%d" % self.sizes[number])
        return volume

    def used_bytes(self):
        """What the files of the compared volumes hold, for the record."""
        return sum(len(tree) for tree in self.trees.values())

    def compare(self, disk):
        """Checks a restored disk: every file's hash, e2fsck, ntfsfix, the partition table. Returns the number of files."""
        verdict = run("sgdisk", "-v", disk, text=True).stdout
        assert "No problems found" in verdict, verdict
        for number, kind, volume in self._volumes():
            self.extract(number, volume, disk)
            if kind == "ext4":
                subprocess.run(["e2fsck", "-fn", volume], check=True, capture_output=True)
            if kind == "ntfs":
                subprocess.run(["ntfsfix", "-n", volume], check=True, capture_output=True)
            found = make_tree(volume, kind)
            assert found == self.trees[number], "partition %d: files differ: %s" % (
                number, sorted(name for name in set(found) | set(self.trees[number]) if found.get(name) != self.trees[number].get(name))[:10])
        return sum(len(tree) for tree in self.trees.values())
