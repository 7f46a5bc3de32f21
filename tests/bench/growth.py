# SPDX-License-Identifier: GPL-2.0-or-later
"""The third part: what more data costs, and what a larger disk costs when the data stay the same.

Four series for each file system, all on sparse files of an XFS (ext4 allows no file of 16 TiB):
  data    a disk of 16 GiB with one partition; its real files are doubled three times
  disk    the same partition with the same files; the disk grows, and a swap partition takes what is added
  gap     the smallest of these without the swap partition: what lies in no partition is left out but for its ends
  volume  the file system spans the disk and grows with it, and so does what it needs for itself (bitmaps, inode tables)
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

import data
from measure import Failure, Sample, command, measure
from report import MIB, Aim, Table
from settings import GIB
from workspace import large_files, loop_device, run as run_tool

TIB = GIB << 10
PARTITION_AT = MIB
# NTFS has at most 2^32 - 1 clusters.
LARGEST_NTFS = 16 * TIB - 64 * 1024
FORMAT = {"ntfs": ["mkntfs", "-Q", "-F", "-q"], "ext4": ["mkfs.ext4", "-q", "-F", "-N", "65536"]}


@dataclasses.dataclass
class Point:
    """One capture: bytes of the disk and in use, the plan alone, the whole capture, bytes of the image."""

    kind: str
    series: str
    disk: int
    used: int
    plan: Sample
    capture: Sample
    image: int


def run(settings):
    folder = os.path.join(settings.memory, "growth")
    os.mkdir(folder)
    points = []
    try:
        amounts = [64, 128] if settings.quick else [256, 512, 1024, 2048]
        sizes = [16 * GIB, 16 * TIB] if settings.quick else [16 * GIB, 256 * GIB, 4 * TIB, 16 * TIB]
        stage = os.path.join(folder, "files")
        os.mkdir(stage)
        data.pc.copy_real_files(stage, amounts[-1] * MIB)
        image = os.path.join(folder, "image")
        with large_files(settings, 256 * GIB) as large:
            for kind in ("ntfs", "ext4"):
                _data_and_disk(settings, points, kind, amounts, sizes, stage, large, image)
                _volume(settings, points, kind, amounts[1], sizes, stage, large, image)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _tables(points)


def _say(text):
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


def _fill(volume, kind, stage, amount):
    """Copies staged files into the volume until `amount` MiB are there; the same files in the same order each time."""
    with data.pc.mounted(volume, kind) as mounted:
        left = amount * MIB
        for root, folders, names in os.walk(stage):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(root, name)
                if os.path.getsize(path) <= left:
                    left -= os.path.getsize(path)
                    shutil.copyfile(path, os.path.join(mounted, os.path.relpath(path, stage).replace(os.sep, "-")))


def _data_and_disk(settings, points, kind, amounts, sizes, stage, large, image):
    """These series use one disk; with the second amount of data it also grows."""
    disk = os.path.join(large, "disk")
    size = 2 * amounts[-1] * MIB
    for amount in amounts:
        _say("Growth: %s, %d MiB of files" % (kind, amount))
        with open(disk, "wb") as file:
            file.truncate(sizes[0])
        run_tool("sgdisk", "-n", "1:%d:+%dM" % (PARTITION_AT // 512, size // MIB), "-t", "1:0700" if kind == "ntfs" else "1:8300", disk)
        with loop_device(disk, PARTITION_AT, size) as device:
            run_tool(*FORMAT[kind], device)
            _fill(device, kind, stage, amount)
        if amount == amounts[1]:
            points.append(_point(settings, kind, "gap", disk, image, rounds=1))
        for larger in sizes if amount == amounts[1] else sizes[:1]:
            _say("Growth: %s, disk of %s" % (kind, _size(larger)))
            _add_swap(disk, larger, PARTITION_AT + size)
            point = _point(settings, kind, "disk", disk, image)
            points += [point] if amount == amounts[1] else []
            points += [dataclasses.replace(point, series="data")] if larger == sizes[0] else []
        os.remove(disk)


def _add_swap(disk, size, begin):
    """Makes the disk larger and its second partition fill it."""
    os.truncate(disk, size)
    run_tool("sgdisk", "-e", disk)
    if "2" in re.findall(r"^ +(\d+) ", run_tool("sgdisk", "-p", disk, text=True).stdout, re.M):
        run_tool("sgdisk", "-d", "2", disk)
    run_tool("sgdisk", "-n", "2:%d:0" % (begin // 512), "-t", "2:8200", disk)
    with loop_device(disk, begin, size - begin - MIB) as device:
        run_tool("mkswap", device)


def _volume(settings, points, kind, amount, sizes, stage, large, image):
    volume = os.path.join(large, "volume")
    for size in sizes:
        size = min(size, LARGEST_NTFS) if kind == "ntfs" else size
        _say("Growth: %s, volume of %s" % (kind, _size(size)))
        with open(volume, "wb") as file:
            file.truncate(size)
        run_tool(*FORMAT[kind], volume)
        _fill(volume, kind, stage, amount)
        points.append(_point(settings, kind, "volume", volume, image))
        os.remove(volume)


def _point(settings, kind, series, path, image, rounds=0):
    """The fastest of several rounds: what is compared differs by percents, and all noise makes things slower."""
    words = ["capture", path, image, "--level=3", "--no-verify"]
    with contextlib.suppress(FileNotFoundError):
        os.remove(image)
    plan_text = subprocess.run([settings.eidolon, *words, "--dry-run", "--json"], capture_output=True, text=True).stdout
    plans, captures = [], []
    # The first round brings the file's pages into memory for all that follow.
    for number in range((rounds or settings.rounds) + 1):
        plan = measure([command(settings.eidolon, *words, "--dry-run")])
        capture = measure([command(settings.eidolon, *words)])
        stored = os.path.getsize(image)
        os.remove(image)
        if number:
            plans.append(plan)
            captures.append(capture)
    used = next((line["used_bytes"] for line in map(json.loads, plan_text.splitlines()) if "used_bytes" in line), None)
    if used is None:
        raise Failure("no plan of " + path)
    return Point(kind, series, os.path.getsize(path), used, _fastest(plans), _fastest(captures), stored)


def _fastest(samples):
    return Sample(min(sample.wall for sample in samples), min(sample.processor for sample in samples), max(sample.memory for sample in samples))


def _size(size):
    return "%.0f TiB" % (size / TIB) if size >= TIB else "%.0f GiB" % (size / GIB)


# ---------------------------------------------------------------- tables


def _tables(points):
    return [table for kind in ("ntfs", "ext4") for table in [_table(kind, [point for point in points if point.kind == kind])]]


def _slope(points, across, value, unit):
    """Least squares: what one `unit` more of `across` adds to `value`."""
    if len({across(point) for point in points}) < 2:
        return None
    return statistics.linear_regression([across(point) / unit for point in points], [value(point) for point in points]).slope


def _table(kind, points):
    name = {"ntfs": "NTFS", "ext4": "ext4"}[kind]
    columns = ["series", "disk", "used MiB", "plan s", "plan MiB", "capture s", "processor s", "memory MiB", "image MiB"]
    rows = [[point.series, _size(point.disk), point.used / MIB, point.plan.wall, point.plan.memory / MIB, point.capture.wall,
             point.capture.processor, point.capture.memory / MIB, point.image / MIB] for point in points]
    series = {label: [point for point in points if point.series == label] for label in ("data", "disk", "volume")}
    wall, processor = (lambda point: point.capture.wall), (lambda point: point.capture.processor)
    used, disk = (lambda point: point.used), (lambda point: point.disk)
    least, most = min(series["disk"], key=disk), max(series["disk"], key=disk)
    sentences = [
        "A GiB of data costs %.2f s (%.2f s of processor time), a TiB of disk beside the same partition %.3f s (%.3f s) and %.1f MiB of image, %.2f MiB of memory."
        % (_slope(series["data"], used, wall, GIB), _slope(series["data"], used, processor, GIB), _slope(series["disk"], disk, wall, TIB),
           _slope(series["disk"], disk, processor, TIB), _slope(series["disk"], disk, lambda point: point.image / MIB, TIB),
           _slope(series["disk"], disk, lambda point: point.capture.memory / MIB, TIB)),
        "Of the plan: %.3f s a GiB of data, %.4f s a TiB of disk, %.3f s a TiB of volume." % (
            _slope(series["data"], used, lambda point: point.plan.wall, GIB), _slope(series["disk"], disk, lambda point: point.plan.wall, TIB),
            _slope(series["volume"], disk, lambda point: point.plan.wall, TIB)),
    ]
    aims = [
        _below_percent("%s: what a disk of %s costs more than one of %s, wall, in %%" % (name, _size(most.disk), _size(least.disk)), wall, least, most),
        _below_percent("%s: the same in processor time, in %%" % name, processor, least, most),
        Aim.at_most("%s: memory in MiB at any size" % name, max(max(point.plan.memory, point.capture.memory) for point in points) / MIB, 192),
    ]
    return Table("Growth: " + name, " ".join(sentences), columns, rows, aims, {}, [dataclasses.asdict(point) for point in points])


def _below_percent(name, value, least, most):
    percent = 100 * (value(most) / value(least) - 1)
    return Aim(name, percent, "below 1", percent < 1)
