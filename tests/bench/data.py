# SPDX-License-Identifier: GPL-2.0-or-later
"""The data of the host part: volumes and a disk with real files, and which of their bytes are in use (said by ntfs-3g's and e2fsprogs' own tools)."""

import dataclasses
import os
import re
import sys

from settings import HERE, MIB
from workspace import loop_device, run

sys.path.insert(0, os.path.join(HERE, "..", "machine"))

import pc  # noqa: E402

PIECE = 4 * MIB


@dataclasses.dataclass
class Source:
    """A file that is captured. `ranges`: (offset, length) of the bytes in use. `volumes`: of a disk, (offset, size, kind)."""

    path: str
    kind: str  # "ntfs", "ext4" or "disk"
    size: int
    ranges: list[tuple[int, int]]
    volumes: list[tuple[int, int, str]] = dataclasses.field(default_factory=list)

    @property
    def used(self):
        return sum(length for _, length in self.ranges)


def ntfs_ranges(path):
    """The clusters that $Bitmap marks."""
    bitmap = run("ntfscat", "-f", "-i", "6", path).stdout
    with open(path, "rb") as file:
        boot = file.read(16)
    cluster = int.from_bytes(boot[11:13], "little") * boot[13]
    count = min(len(bitmap) * 8, os.path.getsize(path) // cluster)
    return _runs((number for number in range(count) if bitmap[number >> 3] >> (number & 7) & 1), cluster)


def _runs(numbers, unit):
    ranges = []
    start = end = None
    for number in numbers:
        if number != end:
            if start is not None:
                ranges.append((start * unit, (end - start) * unit))
            start = number
        end = number + 1
    if start is not None:
        ranges.append((start * unit, (end - start) * unit))
    return ranges


def ext4_ranges(path):
    """What lies between the free blocks that dumpe2fs lists."""
    text = run("dumpe2fs", path, text=True).stdout
    block = int(re.search(r"^Block size:\s*(\d+)", text, re.M).group(1))
    count = int(re.search(r"^Block count:\s*(\d+)", text, re.M).group(1))
    free = []
    for listed in re.findall(r"^  Free blocks: (.*)$", text, re.M):
        for piece in filter(None, listed.split(", ")):
            first, _, last = piece.partition("-")
            free.append((int(first), int(last or first) + 1))
    ranges, at = [], 0
    for first, end in sorted(free) + [(count, count)]:
        if first > at:
            ranges.append((at * block, (first - at) * block))
        at = max(at, end)
    return ranges


RANGES = {"ntfs": ntfs_ranges, "ext4": ext4_ranges}
MAKERS = {"ntfs": pc.make_ntfs, "ext4": pc.make_ext4}


def make_volume(folder, kind, mebibytes):
    """Half full of this machine's own files, a third of them in pieces, garbage in the unused blocks."""
    path = os.path.join(folder, "source")
    MAKERS[kind](path, mebibytes * MIB, mebibytes * MIB // 2 - 20 * MIB)
    return Source(path, kind, mebibytes * MIB, RANGES[kind](path))


def make_disk(folder, total, mebibytes):
    """A disk of `total` MiB with an ESP, an NTFS and an ext4 volume of `mebibytes` each, and swap in all that remains: space
    outside of partitions would be read whole."""
    path = os.path.join(folder, "source")
    disk = pc.PcDisk(path, ntfs=mebibytes, ext4=mebibytes, swap=32)
    os.truncate(path, total * MIB)
    run("sgdisk", "-e", path)
    run("sgdisk", "-d", "5", "-n", "5:0:0", "-t", "5:8200", "-c", "5:Swap", path)
    with loop_device(path, disk.offsets[5], total * MIB - disk.offsets[5] - MIB) as device:
        run("mkswap", device)
    volumes, ranges = [], []
    for number, kind in ((3, "ntfs"), (4, "ext4")):
        volume = disk.extract(number, os.path.join(folder, "volume"))
        ranges += [(disk.offsets[number] + offset, length) for offset, length in RANGES[kind](volume)]
        os.remove(volume)
    for number, kind in ((1, "vfat"), (3, "ntfs"), (4, "ext4")):
        volumes.append((disk.offsets[number], disk.sizes[number] * MIB, kind))
    return Source(path, "disk", os.path.getsize(path), sorted(ranges), volumes)


def write_used(source, path):
    """The bytes in use alone, one after the other: what stock compressors are measured with."""
    with open(source.path, "rb") as file, open(path, "wb") as out:
        for offset, length in source.ranges:
            for at, size in _pieces(offset, length):
                file.seek(at)
                out.write(file.read(size))


def make_target(source, path):
    pc.fill_with_garbage(path, source.size, seed=7)


def spoil(source, target):
    """Garbage where the source has bytes in use, so that a target never looks restored because an earlier tool did it."""
    garbage = bytes(range(1, 256)) * (PIECE // 255 + 1)
    with open(target, "r+b", buffering=0) as file:
        for offset, length in source.ranges:
            for at, size in _pieces(offset, length):
                file.seek(at)
                file.write(garbage[:size])


def same_blocks(source, target):
    """Whether every byte in use is the same in both."""
    with open(source.path, "rb", buffering=0) as left, open(target, "rb", buffering=0) as right:
        for offset, length in source.ranges:
            for at, size in _pieces(offset, length):
                if os.pread(left.fileno(), size, at) != os.pread(right.fileno(), size, at):
                    return False
    return True


def same_files(volumes):
    """Whether every file has the same contents, as the system's own driver sees it. `volumes`: (kind, source, target)."""
    return all(pc.make_tree(source, kind) == pc.make_tree(target, kind) for kind, source, target in volumes)


def _pieces(offset, length):
    for at in range(offset, offset + length, PIECE):
        yield at, min(PIECE, offset + length - at)
