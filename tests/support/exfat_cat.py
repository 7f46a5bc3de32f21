#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a file of an exFAT volume with nothing of the code under test, by Microsoft's specification (sections are its own).

    exfat_cat.py IMAGE PATH >FILE
    exfat_cat.py IMAGE                  is the volume marked as clean?

Fails when an entry's checksum is wrong, a chain ends early, or a cluster of the file is not marked as in use."""

import struct
import sys


class Volume:
    def __init__(self, file):
        self.file = file
        boot = self.at(0, 512)
        if boot[3:11] != b"EXFAT   ":
            raise ValueError("not exFAT")
        self.sector = 1 << boot[108]
        self.cluster = self.sector << boot[109]
        fat, fat_sectors, heap, self.count, root = struct.unpack_from("<IIIII", boot, 80)
        self.heap = heap * self.sector
        self.dirty = bool(boot[106] & 2)
        self.fat = self.at(fat * self.sector, fat_sectors * self.sector)
        self.root = self.read(self.chain(root), None)
        self.bitmap = None
        for entry in self.entries(self.root):
            if entry[0] == 0x81:
                first, size = struct.unpack_from("<IQ", entry, 20)
                self.bitmap = self.read(self.chain(first), size)

    def at(self, offset, size):
        self.file.seek(offset)
        return self.file.read(size)

    def chain(self, cluster):
        """Section 4.1."""
        clusters = []
        while cluster != 0xffffffff:
            if not 2 <= cluster < self.count + 2 or len(clusters) > self.count:
                raise ValueError("broken chain at cluster %#x" % cluster)
            clusters.append(cluster)
            cluster = struct.unpack_from("<I", self.fat, 4 * cluster)[0]
        return clusters

    def read(self, clusters, size):
        data = bytearray()
        start = 0
        while start < len(clusters):
            end = start + 1
            while end < len(clusters) and clusters[end] == clusters[end - 1] + 1:
                end += 1
            data += self.at(self.heap + (clusters[start] - 2) * self.cluster, (end - start) * self.cluster)
            start = end
        if size is not None and len(data) < size:
            raise ValueError("the chain is shorter than the file")
        return bytes(data if size is None else data[:size])

    @staticmethod
    def entries(folder):
        for offset in range(0, len(folder), 32):
            if not folder[offset]:
                return
            yield folder[offset:offset + 32]

    def files(self, folder):
        """(name, attributes, contiguous, first cluster, valid size, size) of each file, sections 7.4, 7.6 and 7.7."""
        entries = list(self.entries(folder))
        for index, entry in enumerate(entries):
            if entry[0] != 0x85:
                continue
            whole = entries[index:index + 1 + entry[1]]
            total = 0
            for place, byte in enumerate(b"".join(whole)):
                if place not in (2, 3):
                    total = ((total << 15 | total >> 1) + byte) & 0xffff
            if total != struct.unpack_from("<H", entry, 2)[0]:
                raise ValueError("checksum of an entry")
            stream = whole[1]
            name = b"".join(part[2:] for part in whole[2:] if part[0] == 0xc1)[:2 * stream[3]].decode("utf-16-le")
            valid, first, size = struct.unpack_from("<Q4xIQ", stream, 8)
            yield name, struct.unpack_from("<H", entry, 4)[0], bool(stream[1] & 2), first, valid, size

    def contents(self, first, contiguous, size):
        count = -(-size // self.cluster)
        if not count:
            if first:
                raise ValueError("an empty file with clusters")
            return b""
        clusters = list(range(first, first + count)) if contiguous else self.chain(first)
        for cluster in clusters[:count]:
            if not self.bitmap[(cluster - 2) // 8] >> (cluster - 2) % 8 & 1:
                raise ValueError("cluster %#x is in use and marked as free" % cluster)
        return self.read(clusters[:count], size)

    def file_at(self, path):
        folder = self.root
        parts = path.strip("/").split("/")
        for number, part in enumerate(parts, 1):
            for name, attributes, contiguous, first, valid, size in self.files(folder):
                if name.upper() == part.upper():
                    break
            else:
                raise FileNotFoundError(path)
            if bool(attributes & 0x10) == (number == len(parts)):
                raise ValueError("a folder where a file should be, or the other way round")
            folder = self.contents(first, contiguous, size)
            if valid != size:
                raise ValueError("valid length")
        return folder


def main():
    with open(sys.argv[1], "rb") as file:
        volume = Volume(file)
        if len(sys.argv) > 2:
            sys.stdout.buffer.write(volume.file_at(sys.argv[2]))
        elif volume.dirty:
            sys.exit("marked as not clean")


if __name__ == "__main__":
    main()
