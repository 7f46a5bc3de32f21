# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of tools: how each captures and restores. All get the same source, the same target, two processors.

Each entry gives pipelines; they run one after the other and their times are added. Where a tool insists on a block device it
gets a loop device over the same file.
"""

import dataclasses
import os
import subprocess
from collections.abc import Callable

from measure import Pipeline, command


@dataclasses.dataclass
class Place:
    """Where a tool works. `*_volumes`: of a disk, (kind, device) of each partition with a file system."""

    eidolon: str
    kind: str
    source: str
    image: str  # a file; a tool that needs several adds a suffix
    target: str
    log: str  # what a tool writes beside its work; thrown away
    source_device: str = ""
    target_device: str = ""
    source_volumes: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    target_volumes: list[tuple[str, str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Tool:
    """`group`: "eidolon" and "clonezilla" take part in the aims and in every round; "other" in the first round only when in a
    hurry. `restore` None: only captured."""

    name: str
    group: str
    kinds: tuple[str, ...]
    capture: Callable[[Place], list[Pipeline]] | None
    restore: Callable[[Place], list[Pipeline]] | None


VOLUMES = ("ntfs", "ext4")
ALL = ("ntfs", "ext4", "disk")
PARTCLONE = {"ntfs": "partclone.ntfs", "ext4": "partclone.ext4", "vfat": "partclone.vfat"}
# Clonezilla's own options; partclone's progress display waits in steps of two seconds unless -f 0 is given.
BUFFER = ["-z", "10485760"]
IMPATIENT = ["-f", "0"]


def _eidolon_capture(*options):
    return lambda place: [command(place.eidolon, "capture", place.source, place.image, *options)]


def _eidolon_restore(*options):
    return lambda place: [command(place.eidolon, "restore", place.image, place.target, "--yes", *options)]


def _partclone_volumes(place, source):
    if place.kind != "disk":
        return [(place.kind, place.source if source else place.target, place.image)]
    volumes = place.source_volumes if source else place.target_volumes
    return [(kind, device, "%s.%d" % (place.image, number)) for number, (kind, device) in enumerate(volumes)]


def _clonezilla_capture(compressor, extra=()):
    def pipelines(place):
        steps = [Pipeline([[PARTCLONE[kind], *BUFFER, *extra, "-L", place.log, "-c", "-s", volume, "--output", "-"], compressor], image)
                 for kind, volume, image in _partclone_volumes(place, True)]
        if place.kind == "disk":
            steps.insert(0, command("sgdisk", "-b", place.image + ".table", place.source))
        return steps
    return pipelines


def _clonezilla_restore(extra=()):
    def pipelines(place):
        steps = [Pipeline([["zstdmt", "-d", "-c", image], ["partclone.restore", *BUFFER, *extra, "-L", place.log, "-s", "-", "-O", volume]])
                 for _, volume, image in _partclone_volumes(place, False)]
        if place.kind == "disk":
            steps.insert(0, command("sgdisk", "-l", place.image + ".table", place.target))
        return steps
    return pipelines


def _ntfsclone_capture(place):
    return [Pipeline([["ntfsclone", "--save-image", "--output", "-", place.source], ["zstd", "-q", "-3", "-T2", "-c"]], place.image)]


def _ntfsclone_restore(place):
    return [Pipeline([["zstd", "-q", "-d", "-c", place.image], ["ntfsclone", "--restore-image", "--overwrite", place.target, "-"]])]


def _e2image_capture(place):
    return [Pipeline([["e2image", "-ra", place.source, "-"], ["zstd", "-q", "-3", "-T2", "-c"]], place.image)]


def _fsarchiver_capture(place):
    return [command("fsarchiver", "-o", "-x", "-Z", "3", "-j", "2", "savefs", place.image + ".fsa", place.source_device)]


def _fsarchiver_restore(place):
    return [command("fsarchiver", "-x", "-j", "2", "restfs", place.image + ".fsa", "id=0,dest=" + place.target_device)]


def _qemu_capture(place):
    return [command("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", "-m", "2", "-W", place.source, place.image)]


def _qemu_restore(place):
    return [command("qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-n", "-m", "2", "-W", place.image, place.target)]


def _dd_capture(*compressor):
    return lambda place: [Pipeline([["dd", "if=" + place.source, "bs=1M"], list(compressor)], place.image)]


def _dd_restore(*decompressor):
    return lambda place: [Pipeline([[*decompressor, place.image], ["dd", "of=" + place.target, "bs=1M", "conv=notrunc", "iflag=fullblock"]])]


def has_auto_level(eidolon):
    words = [eidolon, "capture", os.devnull, os.devnull, "--level=auto", "--dry-run"]
    return "a level is" not in subprocess.run(words, capture_output=True, text=True).stderr


def zstdmt_threads():
    """What zstdmt chooses on this machine, in its own words."""
    text = subprocess.run(["zstdmt", "-v", "-c"], input=b"", capture_output=True).stderr.decode(errors="replace")
    return next((int(word) for line in text.splitlines() if "core(s)" in line for word in line.split() if word.isdigit()), None)


def tools(eidolon):
    """All tools, in the order in which they run and are listed. The restore of one Eidolon row uses the image of its capture."""
    table = [
        Tool("eidolon, read back", "eidolon", ALL, _eidolon_capture("--level=3"), _eidolon_restore()),
        Tool("eidolon, --no-verify", "eidolon", ALL, _eidolon_capture("--level=3", "--no-verify"), _eidolon_restore("--no-verify")),
        Tool("eidolon --level=1, --no-verify", "eidolon", ALL, _eidolon_capture("--level=1", "--no-verify"), None),
    ]
    if has_auto_level(eidolon):
        table.append(Tool("eidolon --level=auto, --no-verify", "eidolon", ALL, _eidolon_capture("--level=auto", "--no-verify"), None))
    table.append(Tool("Clonezilla: partclone, zstdmt -3", "clonezilla", ALL, _clonezilla_capture(["zstdmt", "-c", "-3"]), _clonezilla_restore()))
    table.append(Tool("Clonezilla, partclone not waiting", "clonezilla", ALL, _clonezilla_capture(["zstdmt", "-c", "-3"], IMPATIENT),
                      _clonezilla_restore(IMPATIENT)))
    if zstdmt_threads() != 2:
        table.append(Tool("Clonezilla, zstd -T2", "clonezilla", ALL, _clonezilla_capture(["zstd", "-T2", "-c", "-3"], IMPATIENT), None))
    return table + [
        Tool("ntfsclone, zstd -3 -T2", "other", ("ntfs",), _ntfsclone_capture, _ntfsclone_restore),
        Tool("e2image -ra, zstd -3 -T2", "other", ("ext4",), _e2image_capture, _dd_restore("zstd", "-q", "-d", "-c")),
        Tool("fsarchiver -Z 3 -j 2", "other", VOLUMES, _fsarchiver_capture, _fsarchiver_restore),
        Tool("qemu-img convert -c, zstd", "other", ALL, _qemu_capture, _qemu_restore),
        Tool("dd, zstd -3 -T2", "other", ALL, _dd_capture("zstd", "-q", "-3", "-T2", "-c"), _dd_restore("zstd", "-q", "-d", "-c")),
        Tool("dd, lz4", "other", ("disk",), _dd_capture("lz4", "-q", "-c"), _dd_restore("lz4", "-q", "-d", "-c")),
        Tool("dd, pigz", "other", ("disk",), _dd_capture("pigz", "-c", "-p", "2"), _dd_restore("pigz", "-d", "-c", "-p", "2")),
    ]
