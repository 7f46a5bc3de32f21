#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes inputs to begin with: small volumes and tables by the real tools, in the form that fuzz.h describes.

    tests/fuzz/seeds.py FOLDER      one folder for each target in it
"""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import uuid
import zlib

REPAIR, NO_FILES, WRITE = 1, 2, 4
DATA, FILL, FILL_PAGES, RAMP = 0, 1, 2, 3
PIECE = 32  # bytes: what is looked at as one thing
KIB, MIB = 1024, 1024 * 1024


def record(place, length, kind, value=0, data=b""):
    return struct.pack("<qHBB", place, length, kind, value) + data


def classify(piece):
    """What a piece is, so that neighbours of one kind become one record."""
    if piece.count(piece[0]) == len(piece):
        return ("fill", piece[0])
    numbers = struct.unpack("<%dH" % (len(piece) // 2), piece)
    if all((numbers[0] + i) & 0xffff == number for i, number in enumerate(numbers)):
        return ("ramp", 0)
    return ("data", 0)


def encode_run(place, content):
    """Records for a part of a volume without long rows of zeroes at its ends."""
    records, at = [], 0
    while at < len(content):
        kind = classify(content[at:at + PIECE])
        end = at + PIECE
        while end < len(content) and end - at < 32768 and classify(content[end:end + PIECE]) == kind:
            if kind[0] == "ramp" and content[end] != (content[end - 2] + 1) & 0xff:
                break
            end += PIECE
        length = min(end, len(content)) - at
        if kind[0] == "fill" and length > PIECE:
            if kind[1]:
                records.append(record(place + at, length, FILL, kind[1]))
        elif kind[0] == "ramp" and length > PIECE:
            records.append(record(place + at, length, RAMP, 0, content[at:at + 2]))
        else:
            previous = records[-1] if records else b""
            here = place + at
            # Short special pieces between data stay data.
            if previous and previous[10] == DATA:
                begin, size = struct.unpack("<qH", previous[:10])
                if begin + size == here and size + length < 60000:
                    records[-1] = record(begin, size + length, DATA, 0, previous[12:] + content[at:at + length])
                    at += length
                    continue
            records.append(record(here, length, DATA, 0, content[at:at + length]))
        at += length
    return records


def encode(path, flags=REPAIR, block=512, size=None):
    """A volume's file as an input. Only what the file holds, holes are zero."""
    records = []
    with open(path, "rb") as file:
        total = os.fstat(file.fileno()).st_size
        at = 0
        while True:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            file.seek(begin)
            records += encode_extent(begin, file.read(at - begin))
    return struct.pack("<BBHI", flags, block == 4096, 0, -(-(size or total) // 4096)) + b"".join(records)


def encode_extent(begin, content):
    """Pages of zeroes are no records, pages of one byte are one."""
    records, at, zero = [], 0, bytes(4096)
    while at < len(content):
        page = content[at:at + 4096]
        end = at + 4096
        if page == zero[:len(page)]:
            at = end
            continue
        if len(page) == 4096 and page.count(page[0]) == 4096:
            while content[end:end + 4096] == page:
                end += 4096
            records.append(record(begin + at, (end - at) // 4096, FILL_PAGES, page[0]))
        else:
            while end < len(content) and end - at < 32768 and content[end:end + 4096].strip(b"\0"):
                if content[end:end + 4096].count(content[end]) == 4096:
                    break
                end += 4096
            records += encode_run(begin + at, content[at:end])
        at = end
    return records


class ExfatFiles:
    """Puts files on an exFAT volume that mkfs.exfat has made, of clusters of 4 KiB: no tool does without mounting it."""
    CLUSTER = 4096

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.bytes = bytearray(file.read())
        shift = self.bytes[108]
        fat, _, heap, _, root = struct.unpack_from("<IIIII", self.bytes, 80)
        self.fat, self.heap, self.next = fat << shift, heap << shift, root + 1
        self.root = self.place(root)
        entries = range(self.root, self.root + self.CLUSTER, 32)
        self.bitmap = self.place(next(struct.unpack_from("<I", self.bytes, at + 20)[0] for at in entries if self.bytes[at] == 0x81))

    @staticmethod
    def sum(data):
        total = 0
        for byte in data:
            total = ((total << 15 | total >> 1) + byte) & 0xffff
        return total

    def place(self, cluster):
        return self.heap + (cluster - 2) * self.CLUSTER

    def add(self, folder, name, size, chained, is_folder=False):
        """`folder`: where its cluster is. Where the file's first cluster is."""
        first, count = self.next, -(-size // self.CLUSTER)
        self.next += count
        for cluster in range(first, first + count):
            self.bytes[self.bitmap + (cluster - 2) // 8] |= 1 << (cluster - 2) % 8
            if chained:
                struct.pack_into("<I", self.bytes, self.fat + 4 * cluster, cluster + 1 if cluster + 1 < first + count else 0xffffffff)
        entry = bytearray(96)
        struct.pack_into("<BBHH", entry, 0, 0x85, 2, 0, 0x10 if is_folder else 0x20)
        struct.pack_into("<BBBBHHQIIQ", entry, 32, 0xc0, 1 if chained else 3, 0, len(name), 0, 0, size, 0, first, size)
        entry[64:66 + 2 * len(name)] = b"\xc1\0" + name.encode("utf-16le")
        struct.pack_into("<H", entry, 36, self.sum(name.upper().encode("utf-16le")))
        struct.pack_into("<H", entry, 2, self.sum(entry[:2] + entry[4:]))
        at = next(at for at in range(folder, folder + self.CLUSTER, 32) if not self.bytes[at])
        self.bytes[at:at + 96] = entry
        return self.place(first)

    def save(self):
        with open(self.path, "wb") as file:
            file.write(self.bytes)


class Maker:
    def __init__(self, folder):
        self.folder = folder
        self.work = tempfile.mkdtemp(prefix="eidolon-seeds-")
        os.makedirs(os.path.join(self.work, "files/folder"))
        for name in ("image", "folder/image"):
            with open(os.path.join(self.work, "files", name), "wb") as file:
                file.write(b"E" * 16000)

    def shell(self, command):
        environment = dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin", SOURCE_DATE_EPOCH="1700000000",
                           E2FSPROGS_FAKE_TIME="1700000000", MTOOLS_SKIP_CHECK="1")
        done = subprocess.run(["bash", "-ec", command], cwd=self.work, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            sys.exit("seeds.py: %s\n%s" % (command, done.stdout.decode(errors="replace")))

    def store(self, target, name, content):
        folder = os.path.join(self.folder, target)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)

    def volume(self, target, name, size, command, flags=REPAIR, block=512):
        """`command` formats the file "volume" of `size` bytes."""
        path = os.path.join(self.work, "volume")
        with open(path, "wb") as file:
            file.truncate(size)
        self.shell(command)
        content = encode(path, flags, block, size)
        self.store(target, name, content)
        if target in ("ext", "ntfs", "exfat"):
            self.store(target, name + "-write", bytes([REPAIR | NO_FILES | WRITE]) + content[1:])

    # --- file systems ---

    def fat(self):
        files = " && mcopy -i volume -s files/image files/folder ::"
        self.volume("fat", "fat12", 256 * KIB, "mkfs.fat -F 12 -n LABEL volume" + files)
        self.volume("fat", "fat12-one-copy", 64 * KIB, "mkfs.fat -F 12 -f 1 -s 1 -r 16 volume" + files)
        self.volume("fat", "fat16", 5 * MIB, "mkfs.fat -F 16 -s 2 volume" + files)
        self.volume("fat", "fat32", 34 * MIB, "mkfs.fat -F 32 -s 1 -n LABEL volume" + files)
        self.volume("fat", "fat32-4k", 272 * MIB, "mkfs.fat -F 32 -s 1 -S 4096 volume", block=4096)
        self.volume("fat", "fat16-4k", 20 * MIB, "mkfs.fat -F 16 -s 1 -S 4096 volume", block=4096)

    def exfat(self):
        for name, options, size, block in (("small", "-c 4096 -b 4096", 2 * MIB, 512), ("label", "-c 512 -b 512 -L label", MIB, 512),
                                           ("big-clusters", "-c 128K", 64 * MIB, 512), ("4k", "-c 4096 -b 4096", 2 * MIB, 4096)):
            self.volume("exfat", name, size, "mkfs.exfat %s volume" % options, block=block)
        volume = os.path.join(self.work, "volume")
        with open(volume, "wb") as file:
            file.truncate(2 * MIB)
        self.shell("mkfs.exfat -c 4096 -b 4096 volume")
        tree = ExfatFiles(volume)
        tree.add(tree.root, "image", 16000, False)
        folder = tree.add(tree.root, "folder", 4096, True, is_folder=True)
        tree.add(folder, "image", 16000, True)
        tree.add(tree.add(folder, "inner", 4096, False, is_folder=True), "x", 1, False)
        tree.save()
        self.shell("fsck.exfat -n volume")
        content = encode(volume, REPAIR)
        self.store("exfat", "tree", content)
        self.store("exfat", "tree-write", bytes([REPAIR | NO_FILES | WRITE]) + content[1:])

    def ext(self):
        plain = "-O ^metadata_csum,^uninit_bg -U 01234567-89ab-cdef-0123-456789abcdef -d files -F -q"
        variants = {
            "ext2": "mke2fs -t ext2 -b 1024 -N 16 %s volume 1M",
            "ext2-4k": "mke2fs -t ext2 -b 4096 -N 16 %s volume 1M",
            "ext3": "mke2fs -t ext3 -b 1024 -N 16 -J size=1 %s volume 4M",
            "ext4": "mke2fs -t ext4 -b 1024 -N 32 -J size=1 %s volume 4M",
            "ext4-groups": "mke2fs -t ext4 -b 1024 -g 256 -N 32 -O ^has_journal,flex_bg %s volume 1M",
            "ext4-meta-bg": "mke2fs -t ext4 -b 1024 -g 256 -N 32 -O ^has_journal,meta_bg,^resize_inode %s volume 1M",
            "ext4-bigalloc": "mke2fs -t ext4 -b 1024 -C 4096 -N 32 -O ^has_journal,bigalloc %s volume 1M",
            "ext4-64bit-mmp": "mke2fs -t ext4 -b 1024 -N 32 -O ^has_journal,64bit,mmp %s volume 1M",
            "ext4-sparse-super2": "mke2fs -t ext4 -b 1024 -N 32 -g 256 -O ^has_journal,sparse_super2,^resize_inode %s volume 1M",
            "ext4-inline-data": "mke2fs -t ext4 -b 1024 -N 32 -O ^has_journal,inline_data %s volume 1M",
        }
        for name, command in variants.items():
            self.volume("ext", name, 4 * MIB if name in ("ext3", "ext4") else 2 * MIB, command % plain)

    def ntfs(self):
        files = " && ntfscp -f volume files/image image"
        self.volume("ntfs", "small", 2 * MIB, "mkntfs -F -Q -q -c 4096 volume" + files)
        self.volume("ntfs", "clusters-512", 2 * MIB, "mkntfs -F -Q -q -c 512 -L label volume" + files)
        self.volume("ntfs", "clusters-64k", 8 * MIB, "mkntfs -F -Q -q -c 65536 volume" + files)
        self.volume("ntfs", "4k", 4 * MIB, "mkntfs -F -Q -q -s 4096 -c 4096 volume" + files, block=4096)

    # --- swap and signatures ---

    def recognise(self):
        self.volume("swap_recognise", "swap", 256 * KIB, "mkswap -L label volume")
        self.volume("swap_recognise", "swap-64k", MIB, "mkswap -p 65536 volume || mkswap volume")
        signatures = {
            "bitlocker": [(0, b"\xeb\x58\x90-FVE-FS-"), (510, b"\x55\xaa")],
            "luks1": [(0, b"LUKS\xba\xbe\0\1")],
            "luks2": [(0, b"LUKS\xba\xbe\0\2"), (24, b"label"), (168, b"01234567-89ab-cdef-0123-456789abcdef")],
            "raid-0.90": [(-65536, b"\xfc\x4e\x2b\xa9")],
            "raid-1.2": [(4096, b"\xfc\x4e\x2b\xa9\1\0\0\0")],
            "raid-1.0": [(-8192, b"\xfc\x4e\x2b\xa9\1\0\0\0")],
            "apfs": [(0, bytes(32) + b"NXSB\0\x10\0\0")],
            "refs": [(0, b"\0\0\0ReFS\0\0\0\0\0\0\0\0\0FSRS")],
            "squashfs": [(0, b"hsqs")],
            "hfs+": [(1024, b"H+\0\4"), (-1024, b"H+\0\4")],
            "iso9660": [(32768, b"\1CD001\1")],
            "swap-suspended": [(4086, b"S1SUSPEND\0")],
        }
        for name, pieces in signatures.items():
            records = b"".join(record(place, len(piece) + 64, DATA, 0, piece + bytes(64)) for place, piece in pieces)
            self.store("swap_recognise", name, struct.pack("<BBHI", REPAIR, 0, 0, 512) + records)
        # As many as are there: these tools are not needed for anything else here.
        self.volume("swap_recognise", "xfs", 300 * MIB, "mkfs.xfs -q -f volume")
        self.volume("swap_recognise", "btrfs", 120 * MIB, "mkfs.btrfs -q -f volume")
        self.volume("swap_recognise", "lvm", 4 * MIB, "printf LABELONE | dd of=volume bs=1 seek=512 conv=notrunc && "
                    "printf 'LVM2 001' | dd of=volume bs=1 seek=536 conv=notrunc")
        for target, name in (("fat", "fat12"), ("exfat", "small"), ("ext", "ext2"), ("ntfs", "clusters-64k")):
            shutil.copy(os.path.join(self.folder, target, name), os.path.join(self.folder, "swap_recognise", name))

    # --- partition tables ---

    def gpt(self, blocks, block, partitions, entry_size=128, entries=128):
        """Inputs of both copies of a GPT; partitions are (first, last, type)."""
        array = bytearray(entry_size * entries)
        for index, (first, last, kind) in enumerate(partitions):
            struct.pack_into("<16s16sQQQ", array, index * entry_size, uuid.UUID(kind).bytes_le,
                             uuid.UUID(int=index + 1).bytes_le, first, last, 0)
            name = ("partition %d" % index).encode("utf-16-le")
            array[index * entry_size + 56:index * entry_size + 56 + len(name)] = name
        array_blocks = -(-len(array) // block)

        def header(lba, other, array_lba):
            fields = bytearray(struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, lba, other,
                                           2 + array_blocks, blocks - array_blocks - 2, uuid.UUID(int=99).bytes_le, array_lba,
                                           entries, entry_size, zlib.crc32(bytes(array))))
            struct.pack_into("<I", fields, 16, zlib.crc32(bytes(fields)))
            return bytes(fields)

        used = bytes(array[:entry_size * (len(partitions) + 1)])
        protective = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xee, 255, 255, 255, 1, min(blocks - 1, 0xffffffff))
        last = (blocks - 1) * block
        records = [record(446, 16, DATA, 0, protective), record(510, 2, DATA, 0, b"\x55\xaa"),
                   record(block, 92, DATA, 0, header(1, blocks - 1, 2)), record(2 * block, len(used), DATA, 0, used),
                   record(last - blocks * block, 92, DATA, 0, header(blocks - 1, 1, blocks - 1 - array_blocks)),
                   record(last - array_blocks * block - blocks * block, len(used), DATA, 0, used)]
        return struct.pack("<BBHI", REPAIR, block == 4096, 0, blocks * block // 4096) + b"".join(records)

    def mbr_entry(self, kind, first, count, status=0):
        return struct.pack("<B3sB3sII", status, b"\0\2\0", kind, b"\xfe\xff\xff", first, count)

    def partition(self):
        windows, linux = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "0fc63daf-8483-4772-8e79-3d69d8477de4"
        esp, dynamic = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "af9b60a0-1431-4f62-bc68-3311714a69ad"
        self.store("partition", "gpt", self.gpt(8192, 512, [(2048, 4095, esp), (4096, 5000, windows), (6000, 8000, linux)]))
        self.store("partition", "gpt-4k", self.gpt(8192, 4096, [(256, 511, esp), (512, 8000, dynamic)]))
        self.store("partition", "gpt-huge", self.gpt(1 << 34, 512, [(2048, 1 << 33, windows)]))
        self.store("partition", "gpt-256", self.gpt(8192, 512, [(2048, 4095, esp)], 256, 16))
        self.store("partition", "gpt-empty", self.gpt(1 << 20, 512, []))

        def disk(size, *records):
            return struct.pack("<BBHI", REPAIR, 0, 0, size // 4096) + b"".join(records)

        def table(place, *entries):
            entries = b"".join(entries)
            return record(place + 446, 64, DATA, 0, entries + bytes(64 - len(entries))) + record(place + 510, 2, DATA, 0, b"\x55\xaa")

        entry = self.mbr_entry
        self.store("partition", "mbr", disk(64 * MIB, table(0, entry(7, 2048, 4096, 0x80), entry(0x83, 8192, 65536),
                                                             entry(0x42, 80000, 1000))))
        self.store("partition", "mbr-logical", disk(64 * MIB, table(0, entry(7, 2048, 4096), entry(5, 8192, 65536)),
                                                     table(8192 * 512, entry(0x83, 63, 4000), entry(5, 5000, 5000)),
                                                     table(13192 * 512, entry(0x83, 63, 4000), entry(5, 10000, 5000)),
                                                     table(18192 * 512, entry(0x83, 63, 4000))))
        self.store("partition", "mbr-big", disk(1 << 42, table(0, entry(7, 2048, 0xffffffff), entry(0xf, 0xfffff000, 0xffff))))
        self.store("partition", "fat-boot-sector", open(os.path.join(self.folder, "fat/fat12"), "rb").read())

    # --- commands ---

    def command(self):
        lines = ["list", "list nvme: file:x --json", "capture sata:ABC /mnt/pc.eid --level=19 --chunk=4M --split=2G",
                 'restore "a b.eid" nvme:S3X#2 --yes --no-verify --discard', "clone a b --dry-run --processors=4", "verify x.eid",
                 "verify x y#1024", "info x.eid", "measure a b c", "help", "--version", "capture a#1 b --raw --salvage"]
        for number, line in enumerate(lines):
            self.store("command", "line-%d" % number, b"\1" + line.encode())
        self.store("command", "job-file", b"\0\xef\xbb\xbf# night\r\ncapture nvme: \"b {serial}-{model}.eid\"\r\nthen poweroff\r\n")
        self.store("command", "job-list", b"\0list\nlist --json\nhelp\nversion\n\n  then reboot\n")
        self.store("command", "job-restore", b"\0restore {serial}.eid sata:X --yes\ninfo {date}.eid\nmeasure x\n")
        with open(os.path.join(self.folder, "command.dictionary"), "w") as file:
            for word in ("list capture restore clone verify info measure help version then return reboot poweroff --level= auto "
                         "--chunk= --split= --processors= --raw --discard --salvage --no-verify --dry-run --yes --json "
                         "{serial} {model} {date} #1").split():
                file.write('"%s"\n' % word)


    # --- rules for unattended work ---

    def job(self):
        rules = (b"[job]\ncountdown = 5 ; seconds\nreport = stick:\\R\ntitle = night\n[rule \"a\"]\nwhen serial = PC-2*, X?\nwhen model = Opti*\n"
                 b"when vendor = Dell*\nwhen uuid = 4c*\nwhen board = *\nwhen asset tag = *\nwhen mac = 52:*\nwhen memory = 1G..9G\n"
                 b"when disk size = 1G..\nwhen disk model = S*\ndo = restore\nimage = M:\\{serial}-{mac}.eid\ndisk = only internal disk\n"
                 b"partition = 2\noptions = --discard\nerase = yes\nagain = no\nthen = reboot\n[rule \"b\"]\ndo = nothing\n")
        short = b"[job]\n[rule \"a\"]\ndo = capture\nimage = a{date}\ndisk = biggest nvme\n[rule \"b\"]\ndo = verify\nimage = b#1\n"
        facts = (b"[machine]\nvendor = Dell Inc.\nmodel = OptiPlex 7010\nserial = PC-21\nasset tag = A1\nboard = 0X\nuuid = 4c4c4544-0031\n"
                 b"mac = 52:54:00:12:34:56\nmemory = 8G\nfirmware = 1.0\n[disk \"nvme:S3X\"]\nmodel = Samsung\nserial = S3X\nsize = 500G\n"
                 b"[disk \"sata:W\"]\nsize = 1T\nremovable = yes\n[disk \"usb:S\"]\nsize = 16G\nboot stick = yes\n")
        for name, first in (("whole", rules), ("short", short)):
            self.store("job", name, struct.pack("<H", len(first)) + first + facts)
        with open(os.path.join(self.folder, "job.dictionary"), "w") as file:
            for word in ("[job] [rule [machine] [disk countdown report title when serial model vendor board asset tag uuid mac disk memory size "
                         "do restore capture verify nothing image only biggest smallest internal nvme sata usb partition options erase again yes "
                         "no then reboot poweroff return wait {serial} {mac} ..").split():
                file.write('"%s"\n' % word)

    # --- USB descriptors ---

    def usb(self):
        def endpoint(address, kind, packet, interval=0, companion=None, pipe=0):
            text = struct.pack("<BBBBHB", 7, 5, address, kind, packet, interval)
            text += struct.pack("<BBBBH", 6, 0x30, *companion) if companion else b""
            return text + (bytes([4, 0x24, pipe, 0]) if pipe else b"")

        def interface(number, alternate, kind, *endpoints):
            return bytes([9, 4, number, alternate, len(endpoints), *kind, 0]) + b"".join(endpoints)

        def configuration(*interfaces):
            text = b"".join(interfaces)
            return struct.pack("<BBHBBBBB", 9, 2, 9 + len(text), 1, 1, 0, 0x80, 50) + text

        storage, uas = (8, 6, 0x50), (8, 6, 0x62)
        self.store("usb", "disk", b"\4" + configuration(
            interface(0, 0, storage, endpoint(0x81, 2, 1024, 0, (15, 0, 0)), endpoint(2, 2, 1024, 0, (15, 0, 0))),
            interface(0, 1, uas, endpoint(4, 2, 1024, 0, (0, 0, 0), 1), endpoint(0x83, 2, 1024, 0, (0, 5, 0), 2),
                      endpoint(0x81, 2, 1024, 0, (15, 5, 0), 3), endpoint(2, 2, 1024, 0, (15, 5, 0), 4))))
        self.store("usb", "hub", b"\3" + configuration(interface(0, 0, (9, 0, 1), endpoint(0x81, 3, 1, 12)),
                                                       interface(0, 1, (9, 0, 2), endpoint(0x81, 3, 1, 12))))
        self.store("usb", "keyboard", b"\2" + configuration(interface(0, 0, (3, 1, 1), bytes([9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0]),
                                                                      endpoint(0x81, 3, 8, 10))))
        self.store("usb", "string", b"\x80" + bytes([22, 3]) + "0123456789".encode("utf-16-le"))


def main():
    folder = os.path.abspath(sys.argv[1])
    maker = Maker(folder)
    try:
        for part in (maker.fat, maker.exfat, maker.ext, maker.ntfs, maker.recognise, maker.partition, maker.command, maker.job, maker.usb):
            part()
    finally:
        shutil.rmtree(maker.work)


if __name__ == "__main__":
    main()
