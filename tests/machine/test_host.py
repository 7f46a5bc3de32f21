# SPDX-License-Identifier: GPL-2.0-or-later
"""The host program on real file systems: what a person does at a Linux prompt, and what must be refused."""

import glob
import json
import os
import signal
import stat
import subprocess
import tempfile
import time
import unittest

import pc
from machine import BUILD, SHARED_MEMORY
from pc import MIB

TIMEOUT = 400
EIDOLON = os.path.join(BUILD, "eidolon")
DONE, USAGE, REFUSED, SOURCE, TARGET, DAMAGED, CANCELLED, DIFFERS, LOSSES = 0, 2, 3, 4, 5, 6, 7, 8, 9


def eidolon(*words, expect=DONE, **options):
    """Runs the program and returns what it said (standard output and error)."""
    result = subprocess.run([EIDOLON, *words], stdin=options.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)
    text = result.stdout.decode(errors="replace") + result.stderr.decode(errors="replace")
    assert result.returncode == expect, "%s ended with %d, expected %d:\n%s" % (" ".join(words), result.returncode, expect, text[-2000:])
    return text


class HostTest(unittest.TestCase):
    """One disk of a PC and one image of it for all tests."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="eidolon-host-", dir=SHARED_MEMORY)
        cls.disk = pc.PcDisk(cls.path("pc.img"), ntfs=160, ext4=160, esp=40, swap=16)
        cls.image = cls.path("pc.eid")
        eidolon("capture", cls.disk.path, cls.image)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.directory.name, name)

    def garbage_target(self, name, size):
        path = self.path(name)
        pc.fill_with_garbage(path, size, seed=9)
        self.addCleanup(os.remove, path)
        return path

    def test_restored_files_are_the_same_on_a_bigger_disk(self):
        target = self.garbage_target("bigger.img", self.disk.bytes + 64 * MIB)
        text = eidolon("restore", self.image, target, "--yes")
        assert "Verified: read back" in text, text
        assert self.disk.compare(target) > 1000
        eidolon("verify", self.image, target)

    def test_stock_zstd_makes_the_disk_and_no_garbage_is_in_it(self):
        with subprocess.Popen(["zstd", "-dc", self.image], stdout=subprocess.PIPE) as decoder:
            found = pc.count_marker(decoder.stdout)
        assert decoder.returncode == 0 and found <= pc.TOLERATED_GARBAGE, found
        plain = self.path("plain.img")
        with open(plain, "wb") as file:
            subprocess.run(["zstd", "-dc", self.image], stdout=file, check=True)
        self.addCleanup(os.remove, plain)
        assert os.path.getsize(plain) == self.disk.bytes
        assert self.disk.compare(plain) > 1000
        eidolon("verify", self.image, plain)

    def test_pipes(self):
        target = self.garbage_target("piped.img", self.disk.bytes)
        with subprocess.Popen([EIDOLON, "capture", self.disk.path, "-", "--level=1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as writer:
            eidolon("restore", "-", target, "--yes", stdin=writer.stdout)
        assert writer.returncode == 0
        self.disk.compare(target)
        with open(self.image, "rb") as image, subprocess.Popen(["cat"], stdin=image, stdout=subprocess.PIPE) as cat:
            eidolon("verify", "-", stdin=cat.stdout)

    def test_one_partition_alone(self):
        image, volume = self.path("part.eid"), self.garbage_target("part.img", 160 * MIB)
        eidolon("capture", self.disk.path + "#4", image)
        self.addCleanup(os.remove, image)
        eidolon("restore", image, volume, "--yes")
        assert pc.make_tree(volume, "ext4") == self.disk.trees[4]
        # From the image of the whole disk into the partition of another disk.
        target = self.path("target.img")
        pc.run("cp", "--sparse=always", self.disk.path, target)
        self.addCleanup(os.remove, target)
        pc.run("dd", "if=/dev/urandom", "of=" + target, "bs=1M", "count=100", "seek=%d" % (self.disk.offsets[3] // MIB), "conv=notrunc")
        assert "began at" not in eidolon("restore", self.image + "#3", target + "#3", "--yes")
        self.disk.compare(target)
        # NTFS notes where it begins; the start is another one in partition 4.
        assert "began at" in eidolon("restore", self.image + "#3", target + "#4", "--yes", "--dry-run")
        assert "#N" in eidolon("restore", self.image + "#3", target, "--yes", expect=REFUSED)
        self.disk.compare(target)

    def test_volumes(self):
        image = self.path("split.eid")
        # Random bytes do not compress: every volume is needed.
        source, target = self.garbage_target("random.img", 200 * MIB), self.path("unsplit.img")
        eidolon("capture", source, image, "--split=80M")
        volumes = sorted(name for name in os.listdir(self.directory.name) if name.startswith("split.eid"))
        assert volumes == ["split.eid.001", "split.eid.002", "split.eid.003"], volumes
        for volume in volumes:
            assert os.path.getsize(self.path(volume)) <= 80 * MIB
            self.addCleanup(os.remove, self.path(volume))
        eidolon("verify", image)
        with open(target, "wb") as file:
            subprocess.run("cat %s.0* | zstd -dc" % image, shell=True, stdout=file, check=True)
        self.addCleanup(os.remove, target)
        pc.run("cmp", source, target)
        # One that is left of an older image would become a part of a new one.
        os.rename(image + ".003", self.path("stale.eid.003"))
        eidolon("capture", source, self.path("stale.eid"), "--split=80M", expect=REFUSED)
        os.rename(self.path("stale.eid.003"), image + ".003")
        os.rename(self.path("split.eid.002"), self.path("gone"))
        eidolon("verify", image, expect=DAMAGED)
        os.rename(self.path("gone"), self.path("split.eid.002"))

    def test_a_capture_goes_on_after_it_was_killed(self):
        """Killed twice in the middle of a segment, as a file and as volumes; stock zstd makes the disk of what comes out."""
        for name, options in (("killed.eid", ()), ("killed-split.eid", ("--split=80M",))):
            image, plain, sizes = self.path(name), self.path("plain.img"), []
            words = ["capture", self.disk.path, image, "--raw", "--level=1", *options]
            for attempt in ((), ("--continue",)):
                sizes.append(self.capture_and_kill([*words, *attempt], image, 90 * MIB))
            self.addCleanup(subprocess.run, "rm -f %s*" % image, shell=True)
            assert sizes == sorted(set(sizes)), sizes
            assert "the image is incomplete" in eidolon("verify", image, expect=DAMAGED)
            text = eidolon(*words, "--continue")
            assert "are there already and are not written again" in text and "Verified: read back" in text, text
            eidolon("verify", image, self.disk.path)
            with open(plain, "wb") as file:
                subprocess.run("cat %s* | zstd -dc" % image, shell=True, stdout=file, check=True)
            assert self.disk.compare(plain) > 1000
            os.remove(plain)
            assert "is complete" in eidolon(*words, "--continue", expect=REFUSED)

    def capture_and_kill(self, words, image, more):
        """Runs a capture until its image is so many bytes longer than now, and kills it. How long the image is then."""
        def size():
            return sum(os.path.getsize(path) for path in glob.glob(image + "*"))

        start, end = size(), time.monotonic() + 100
        with subprocess.Popen([EIDOLON, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while size() < start + more and process.poll() is None and time.monotonic() < end:
                time.sleep(0.005)
            process.kill()
        assert process.returncode == -signal.SIGKILL, process.returncode
        return size()

    def test_a_capture_does_not_go_on_with_another_disk(self):
        image, other = self.path("begun.eid"), self.path("other.img")
        pc.run("cp", "--sparse=always", self.disk.path, other)
        self.addCleanup(os.remove, other)
        eidolon("capture", other, image)
        self.addCleanup(os.remove, image)
        os.truncate(image, os.path.getsize(image) // 2)
        before = pc.run("sha256sum", image).stdout
        with open(other, "r+b") as file:  # one byte of a file, in what is captured already: the boot sector of the ESP
            file.seek(MIB + 3)
            kept = file.read(1)
            file.seek(MIB + 3)
            file.write(b"?")
        assert "it has changed at byte" in eidolon("capture", other, image, "--continue", expect=REFUSED)
        with open(other, "r+b") as file:
            file.seek(MIB + 3)
            file.write(kept)
        pc.run("cp", "--sparse=always", other, self.path("kept.img"))
        self.addCleanup(os.remove, self.path("kept.img"))
        pc.run("sgdisk", "-c", "3:Renamed", other)
        assert "its partition table" in eidolon("capture", other, image, "--continue", expect=REFUSED)
        assert "there is no image" in eidolon("capture", other, image + "x", "--continue", expect=REFUSED)
        eidolon("capture", self.disk.path, "-", "--continue", expect=REFUSED)
        assert pc.run("sha256sum", image).stdout == before and not os.path.exists(image + "x")
        pc.run("cp", "--sparse=always", self.path("kept.img"), other)
        assert "Verified: read back" in eidolon("capture", other, image, "--continue")

    def test_clone(self):
        target = self.garbage_target("clone.img", self.disk.bytes + 8 * MIB)
        eidolon("clone", self.disk.path, target, "--yes")
        self.disk.compare(target)

    def test_a_source_is_never_changed(self):
        before = pc.run("sha256sum", self.disk.path).stdout
        eidolon("capture", self.disk.path, "-", "--raw", "--level=1")
        assert pc.run("sha256sum", self.disk.path).stdout == before

    def test_refusals_write_nothing(self):
        small = self.garbage_target("small.img", 256 * MIB)
        before = pc.run("sha256sum", small).stdout
        assert "the target is too small" in eidolon("restore", self.image, small, "--yes", expect=REFUSED)
        assert "nobody is here to agree" in eidolon("restore", self.image + "#4", small, expect=REFUSED)
        eidolon("restore", self.image, small, "--yes", "--dry-run", expect=REFUSED)
        assert pc.run("sha256sum", small).stdout == before
        eidolon("capture", self.disk.path, self.image, expect=REFUSED)
        eidolon("clone", self.disk.path, self.disk.path, "--yes", expect=REFUSED)
        eidolon("capture", self.disk.path + "#9", self.path("x.eid"), expect=USAGE)
        eidolon("capture", self.path("nothing"), self.path("x.eid"), expect=USAGE)
        eidolon("info", self.path("nothing"), expect=USAGE)
        assert not os.path.exists(self.path("x.eid"))

    def test_sector_sizes_do_not_mix(self):
        disk = self.path("4k.img")
        with open(disk, "wb") as file:
            file.truncate(self.disk.bytes)
        self.addCleanup(os.remove, disk)
        loop = pc.run("losetup", "--sector-size", "4096", "-f", "--show", disk, text=True).stdout.strip()
        try:
            text = eidolon("restore", self.image, loop, "--yes", expect=REFUSED)
            assert "512" in text and "4096" in text, text
        finally:
            pc.run("losetup", "-d", loop)

    def test_a_mounted_disk(self):
        volume = self.path("mounted.img")
        self.disk.extract(4, volume)
        self.addCleanup(os.remove, volume)
        with pc.mounted(volume, "ext4"):
            text = eidolon("capture", volume, self.path("m.eid"), expect=REFUSED)
            assert "is mounted" in text, text
            eidolon("capture", volume, self.path("m.eid"), "--yes")
            os.remove(self.path("m.eid"))
            before = pc.run("sha256sum", volume).stdout
            text = eidolon("restore", self.image + "#4", volume, "--yes", expect=REFUSED)
            assert "unmount it first" in text, text
            assert pc.run("sha256sum", volume).stdout == before

    def test_a_mounted_btrfs(self):
        """It is mounted under a device number of its own."""
        with open("/proc/filesystems") as file:
            if "btrfs" not in file.read():
                self.skipTest("this kernel has no btrfs")
        volume = self.garbage_target("btrfs.img", 128 * MIB)
        pc.run("mkfs.btrfs", "-q", "-f", volume)
        with pc.mounted(volume, "btrfs"):
            assert "is mounted" in eidolon("capture", volume, self.path("b.eid"), expect=REFUSED)
            assert "unmount it first" in eidolon("restore", self.image + "#5", volume, "--yes", expect=REFUSED)

    def test_other_names_of_a_disk_are_that_disk(self):
        """A loop device, a partition's node, a link: source and target, or a mounted target, all the same."""
        disk, link, nodes = self.garbage_target("named.img", 64 * MIB), self.path("link.img"), [self.path("node1"), self.path("node2")]
        pc.run("sfdisk", "-q", disk, input=b"label: gpt\nstart=2048,size=40960\nstart=45056,size=40960\n")
        os.link(disk, link)
        self.addCleanup(os.remove, link)
        loop = pc.run("losetup", "-f", "--show", disk, text=True).stdout.strip()
        self.addCleanup(pc.run, "losetup", "-d", loop)
        for number, node in enumerate(nodes, 1):
            pc.run("addpart", loop, str(number), str((2048, 45056)[number - 1]), "40960")
            self.addCleanup(pc.run, "delpart", loop, str(number))
            with open("/sys/block/%s/%sp%d/dev" % (loop[5:], loop[5:], number)) as file:
                numbers = [int(part) for part in file.read().split(":")]
            os.mknod(node, 0o600 | stat.S_IFBLK, os.makedev(*numbers))
            self.addCleanup(os.remove, node)
        before = pc.run("sha256sum", disk).stdout
        for source, target in ((loop, link), (disk, loop), (nodes[0], loop), (nodes[0], disk), (disk + "#1", nodes[0])):
            assert "same disk" in eidolon("clone", source, target, "--yes", expect=REFUSED), (source, target)
        assert pc.run("sha256sum", disk).stdout == before
        eidolon("clone", nodes[0], nodes[1], "--yes")
        pc.run("mkfs.ext4", "-q", "-F", nodes[0])
        os.mkdir(self.path("place"))
        self.addCleanup(os.rmdir, self.path("place"))
        pc.run("mount", nodes[0], self.path("place"))
        try:
            for target in (loop, disk, link, disk + "#1", nodes[0]):
                assert "unmount it first" in eidolon("clone", nodes[1], target, "--yes", expect=REFUSED), target
            eidolon("restore", self.image + "#5", nodes[1], "--yes")
        finally:
            pc.run("umount", self.path("place"))

    def test_an_image_is_not_its_own_target(self):
        source, image = self.garbage_target("small.img", 8 * MIB), self.path("self.eid")
        eidolon("capture", source, image)
        self.addCleanup(os.remove, image)
        assert "on the target itself" in eidolon("restore", image, image, "--yes", expect=REFUSED)
        with open(image, "rb") as file:
            assert "on the target itself" in eidolon("restore", "-", image, "--yes", stdin=file, expect=REFUSED)
        eidolon("verify", image)

    def test_damage_is_named_and_the_rest_is_saved(self):
        damaged, target = self.path("damaged.eid"), self.garbage_target("salvaged.img", self.disk.bytes)
        pc.run("cp", self.image, damaged)
        self.addCleanup(os.remove, damaged)
        with open(damaged, "r+b") as file:
            file.seek(os.path.getsize(damaged) // 2)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 0x55]))
        assert "lost" in eidolon("verify", damaged, expect=DAMAGED)
        eidolon("restore", damaged, target, "--yes", expect=DAMAGED)
        text = eidolon("restore", damaged, target, "--yes", "--salvage", expect=LOSSES)
        assert "damaged" in text, text
        cut = self.path("cut.eid")
        with open(self.image, "rb") as source, open(cut, "wb") as out:
            out.write(source.read(os.path.getsize(self.image) * 2 // 3))
        self.addCleanup(os.remove, cut)
        before = pc.run("sha256sum", target).stdout
        eidolon("restore", cut, target, "--yes", expect=DAMAGED)
        assert pc.run("sha256sum", target).stdout == before, "an image without its end was written"

    def test_an_interrupted_restore_boots_nothing_and_is_recognised(self):
        target = self.garbage_target("half.img", self.disk.bytes)
        with open(self.image, "rb") as image:
            first_half = image.read(os.path.getsize(self.image) // 2)
        with subprocess.Popen([EIDOLON, "restore", "-", target, "--yes"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            process.stdin.write(first_half)
            process.stdin.close()
        assert process.returncode == DAMAGED, process.returncode
        assert "HALF RESTORED" in eidolon("list", target)
        with open(target, "rb") as file:
            assert file.read(512)[510:] != b"\x55\xaa"

    def test_interrupt_cancels_and_leaves_nothing(self):
        image = self.path("cancelled.eid")
        process = subprocess.Popen([EIDOLON, "capture", self.disk.path, image, "--level=19", "--raw"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        end = time.monotonic() + 60
        while not os.path.exists(image) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == CANCELLED, process.returncode
        assert not os.path.exists(image)

    def test_interrupt_is_heard_while_a_pipe_says_nothing(self):
        target = self.garbage_target("waiting.img", 8 * MIB)
        before = pc.run("sha256sum", target).stdout
        for words, stdin, stdout in (("restore - %s --yes" % target, subprocess.PIPE, subprocess.DEVNULL),
                                     ("verify -", subprocess.PIPE, subprocess.DEVNULL),
                                     ("capture %s -" % self.disk.path, subprocess.DEVNULL, subprocess.PIPE)):
            with subprocess.Popen([EIDOLON, *words.split()], stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL) as process:
                time.sleep(1)
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=30) == CANCELLED, (words, process.returncode)
        assert pc.run("sha256sum", target).stdout == before

    def test_interrupt_at_the_question_ends_it(self):
        target = self.garbage_target("asked.img", self.disk.bytes)
        with open(target, "rb") as file:
            before = file.read(MIB)
        ours, theirs = os.openpty()
        with subprocess.Popen([EIDOLON, "restore", self.image, target], stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            said = b""
            while b"type" not in said:
                said += os.read(process.stderr.fileno(), 4096)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == CANCELLED, process.returncode
        os.close(ours)
        os.close(theirs)
        with open(target, "rb") as file:
            assert file.read(MIB) == before

    def test_a_file_with_half_a_sector_at_its_end(self):
        odd = self.garbage_target("odd.img", 2 * MIB)
        os.truncate(odd, MIB + 100)
        text = eidolon("capture", odd, self.path("odd.eid"), expect=SOURCE)
        assert "whole number" in text and not os.path.exists(self.path("odd.eid")), text
        eidolon("restore", self.image + "#5", odd, "--yes", expect=REFUSED)

    def test_json(self):
        listing = json.loads(eidolon("list", self.disk.path, "--json"))
        partitions = listing["disks"][0]["partitions"]
        assert [partition["filesystem"] for partition in partitions] == ["fat32", "", "ntfs", "ext4", "swap"], partitions
        assert partitions[3]["label"] == "linux" and partitions[2]["label"] == "Windows"
        info = json.loads(eidolon("info", self.image, "--json"))
        assert info["disk_bytes"] == self.disk.bytes
        events = [json.loads(line) for line in eidolon("verify", self.image, "--json").splitlines()]
        assert events[0]["event"] == "plan" and events[-1]["event"] == "result" and events[-1]["exit_code"] == 0
        assert 0 < events[-1]["memory_bytes"] < 256 * MIB

    def test_one_processor(self):
        target = self.garbage_target("one.img", self.disk.bytes)
        image = self.path("one.eid")
        eidolon("capture", self.disk.path, image, "--processors=1")
        self.addCleanup(os.remove, image)
        eidolon("restore", image, target, "--yes", "--processors=1")
        self.disk.compare(target)

    def test_space_in_no_partition_is_left_out_but_for_its_ends(self):
        disk, image, target = self.path("gap.img"), self.path("gap.eid"), self.path("gap-target.img")
        places = {"behind the partition": 101 * MIB, "in the middle": 200 * MIB, "at the end": 299 * MIB}

        def make(*partitions):
            with open(disk, "wb") as file:
                file.truncate(300 * MIB)
            pc.run("sfdisk", "-q", disk, input="\n".join(partitions).encode() + b"\n")
            with open(disk, "r+b") as file:
                for place, offset in places.items():
                    file.seek(offset)
                    file.write(place.encode())

        def missing(*options):
            with open(target, "wb") as file:
                file.truncate(300 * MIB)
            text = eidolon("capture", disk, image, *options)
            eidolon("restore", image, target, "--yes")
            os.remove(image)
            with open(target, "rb") as file:
                data = file.read()
            assert ("in no partition" in text) == (data.find(b"in the middle") < 0), text
            return [place for place, offset in places.items() if data[offset:offset + len(place)] != place.encode()]

        self.addCleanup(os.remove, disk)
        self.addCleanup(os.remove, target)
        for label in ("gpt", "dos"):
            make("label: " + label, "start=1MiB, size=100MiB")
            assert missing() == ["in the middle"]
            assert missing("--raw") == []
        # The tables of logical partitions may stand anywhere in the extended one.
        make("label: dos", "start=1MiB, size=100MiB", "start=101MiB, type=5")
        assert missing() == []

    def test_a_nearly_empty_disk_of_one_tebibyte(self):
        disk, image = self.path("huge.img"), self.path("huge.eid")
        with open(disk, "wb") as file:
            file.truncate(1 << 40)
        self.addCleanup(os.remove, disk)
        pc.run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode", "-E", "nodiscard,lazy_itable_init=1", disk)
        begun = time.monotonic()
        text = eidolon("capture", disk, image, "--no-verify", "--json")
        self.addCleanup(os.remove, image)
        result = json.loads(text.splitlines()[-1])
        assert result["memory_bytes"] < 256 * MIB
        assert time.monotonic() - begun < 120
