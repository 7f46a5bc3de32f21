# SPDX-License-Identifier: GPL-2.0-or-later
"""The first part: every tool on the same volumes and the same disk, in memory, in turns, each restored result checked."""

import contextlib
import dataclasses
import glob
import os
import subprocess
import sys
import time

import data
import peers
from measure import Failure, command, measure, median
from report import MIB, Aim, Table
from workspace import loop_device

TITLES = {"ntfs": "an NTFS volume", "ext4": "an ext4 volume", "disk": "a disk with an ESP, NTFS, ext4 and swap"}
# Its volumes are smaller than the others: source, target and the image of a tool that copies all must fit into 14 GiB.
DISK_MIB = 8192
# Rows that are no tool: the parts of the limit.
READ, ZSTD3, ZSTD1, WRITE_IMAGE = "reading alone", "zstd -3 -T2 alone", "zstd -1 -T2 alone", "writing alone"
READ_IMAGE, DECODE, WRITE_TARGET, TOGETHER = "reading the image alone", "decoding alone", "writing to the target alone", "decoding and writing together"
HASH = "decoding and hashing"
EIDOLON, EIDOLON_FAST = "eidolon, read back", "eidolon, --no-verify"
CLONEZILLA = ("Clonezilla: partclone, zstdmt -3", "Clonezilla, partclone not waiting")


class Results:
    """Every sample of one set of data, by (name, action)."""

    def __init__(self):
        self.samples, self.failures, self.sizes, self.checks = {}, {}, {}, {}

    def take(self, name, action, pipelines):
        """Measures; a failure is noted, and the row takes no further part."""
        if (name, action) in self.failures:
            return False
        try:
            self.samples.setdefault((name, action), []).append(measure(pipelines))
            return True
        except Failure as failure:
            self.failures[name, action] = str(failure)
            return False

    def median(self, name, action):
        samples = self.samples.get((name, action))
        return median(samples) if samples and (name, action) not in self.failures else None

    def wall(self, name, action):
        sample = self.median(name, action)
        return sample.wall if sample else None

    def best(self, names, action):
        """The smallest of several rows' medians, or None."""
        return min(filter(None, (self.wall(name, action) for name in names)), default=None)


def run(settings):
    tables = []
    for kind in ("ntfs", "ext4", "disk"):
        say("Host: making %s ..." % TITLES[kind])
        with _folder(os.path.join(settings.memory, kind)) as folder, contextlib.ExitStack() as stack:
            if kind == "disk":
                total = max(DISK_MIB * settings.size // 3072, settings.size + 512)
                source = data.make_disk(folder, total, settings.size * 2 // 5)
            else:
                source = data.make_volume(folder, kind, settings.size)
            place = _place(settings, source, folder, stack)
            results = _rounds(settings, source, place, folder)
            tables += [_capture_table(settings, source, results), _restore_table(source, results)]
    return tables


def say(text):
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _folder(path):
    os.mkdir(path)
    try:
        yield path
    finally:
        subprocess.run(["rm", "-rf", path], check=False)


def _place(settings, source, folder, stack):
    place = peers.Place(settings.eidolon, source.kind, source.path, os.path.join(folder, "image"), os.path.join(folder, "target"),
                        os.path.join(folder, "log"))
    data.make_target(source, place.target)
    if source.kind == "disk":
        for offset, size, kind in source.volumes:
            place.source_volumes.append((kind, stack.enter_context(loop_device(source.path, offset, size, read_only=True))))
            place.target_volumes.append((kind, stack.enter_context(loop_device(place.target, offset, size))))
    else:
        place.source_device = stack.enter_context(loop_device(source.path, read_only=True))
        place.target_device = stack.enter_context(loop_device(place.target))
    return place


def _rounds(settings, source, place, folder):
    results = Results()
    used = os.path.join(folder, "used")
    data.write_used(source, used)
    for number in range(settings.rounds):
        say("Host: %s, round %d of %d" % (source.kind, number + 1, settings.rounds))
        _capture_limits(settings, results, used, folder)
        for tool in peers.tools(settings.eidolon):
            # Peers without an aim cost the most time; the first round shows where they stand.
            if source.kind in tool.kinds and (tool.group != "other" or number == 0):
                _one_tool(settings, results, source, place, tool)
        _remove(place.image)
    os.remove(used)
    return results


def _capture_limits(settings, results, used, folder):
    limit, stream = os.path.join(settings.build, "bench", "limit"), os.path.join(folder, "stream")
    results.take(READ, "capture", [command(limit, "read", used)])
    for name, level in ((ZSTD3, "-3"), (ZSTD1, "-1")):
        _remove(stream)
        results.take(name, "capture", [command("zstd", "-q", level, "-T2", "-k", used, "-o", stream)])
        results.sizes[name] = os.path.getsize(stream)
    results.take(WRITE_IMAGE, "capture", [command(limit, "write", stream, os.path.getsize(stream))])
    _remove(stream)


def _one_tool(settings, results, source, place, tool):
    _remove(place.image)
    if not results.take(tool.name, "capture", tool.capture(place)):
        return
    results.sizes[tool.name] = sum(os.path.getsize(path) for path in [*glob.glob(glob.escape(place.image) + "*")])
    if tool.name == EIDOLON_FAST:
        _restore_limits(settings, results, source, place)
    if tool.restore:
        _spoil(source, place)
        if results.take(tool.name, "restore", tool.restore(place)):
            _check(results, source, place, tool)


def _restore_limits(settings, results, source, place):
    """Measured with Eidolon's image, whose frames two processors can decode at once; a peer's stream is one frame."""
    limit = os.path.join(settings.build, "bench", "limit")
    results.take(READ_IMAGE, "restore", [command(limit, "read", place.image)])
    results.take(DECODE, "restore", [command(limit, "decode", place.image)])
    results.take(WRITE_TARGET, "restore", [command(limit, "write", place.target, source.used)])
    _spoil(source, place)
    results.take(TOGETHER, "restore", [command(limit, "restore", place.image, place.target)])
    results.take(HASH, "verify", [command(limit, "hash", place.image)])
    results.take(EIDOLON, "verify", [command(settings.eidolon, "verify", place.image)])


def _spoil(source, place):
    _forget(place.target_device, *(device for _, device in place.target_volumes))
    data.spoil(source, place.target)


def _forget(*devices):
    """A loop device keeps pages of its own: what a tool wrote must reach the file, and what the file gets must be seen."""
    for device in filter(None, devices):
        subprocess.run(["blockdev", "--flushbufs", device], check=False, capture_output=True)


def _check(results, source, place, tool):
    _forget(place.target_device, *(device for _, device in place.target_volumes))
    if data.same_blocks(source, place.target):
        verdict = "every used block"
    elif _same_files(place):
        verdict = "every file"
    else:
        verdict = "DIFFERS"
        results.failures[tool.name, "restore"] = "what was restored differs"
    if results.checks.get(tool.name) != "DIFFERS":
        results.checks[tool.name] = verdict


def _same_files(place):
    volumes = [(kind, source, target) for (kind, source), (_, target) in zip(place.source_volumes, place.target_volumes)]
    try:
        return data.same_files(volumes or [(place.kind, place.source, place.target)])
    except (subprocess.CalledProcessError, OSError):
        return False


def _remove(path):
    for name in glob.glob(glob.escape(path) + "*"):
        os.remove(name)


# ---------------------------------------------------------------- tables

COLUMNS = ["", "wall s", "processor s", "memory MiB", "image MiB", "x limit", "x Clonezilla"]


def _ratio(value, reference):
    return value / reference if value is not None and reference else None


def _row(results, name, action, limit, clonezilla, size=None):
    failure = results.failures.get((name, action))
    if failure:
        return [name, "failed: " + failure] + [None] * 5
    sample = results.median(name, action)
    if not sample:
        return None
    return [name, sample.wall, sample.processor, sample.memory / MIB, size / MIB if size else None,
            _ratio(sample.wall, limit), _ratio(sample.wall, clonezilla)]


def _tool_names(settings, kind, action):
    return [tool.name for tool in peers.tools(settings.eidolon) if kind in tool.kinds and (tool.capture if action == "capture" else tool.restore)]


def _json_samples(results, action):
    return {name: [dataclasses.asdict(sample) for sample in samples] for (name, act), samples in results.samples.items() if act == action}


def _capture_table(settings, source, results):
    limit3, limit1 = (max(filter(None, (results.wall(name, "capture") for name in (READ, zstd, WRITE_IMAGE))), default=None) for zstd in (ZSTD3, ZSTD1))
    clonezilla = results.best(CLONEZILLA, "capture")
    rows = [_row(results, name, "capture", None, None, results.sizes.get(name)) for name in (READ, ZSTD3, ZSTD1, WRITE_IMAGE)]
    for name in _tool_names(settings, source.kind, "capture"):
        rows.append(_row(results, name, "capture", limit1 if "--level=1" in name else limit3, clonezilla, results.sizes.get(name)))
    fast, stock = results.median(EIDOLON_FAST, "capture"), results.median(ZSTD3, "capture")
    memory = max((sample.memory for name in (EIDOLON, EIDOLON_FAST) for sample in results.samples.get((name, "capture"), [])), default=None)
    aims = [
        Aim.at_most("capture: wall / limit", _ratio(fast and fast.wall, limit3), 1.1),
        Aim.at_most("capture: wall / Clonezilla's better time", _ratio(fast and fast.wall, clonezilla), 1 / 3),
        Aim.at_most("capture: wall / Clonezilla's time as it is run", _ratio(fast and fast.wall, results.wall(CLONEZILLA[0], "capture")), 1 / 3),
        Aim.at_most("capture with read-back: wall / Clonezilla's better time", _ratio(results.wall(EIDOLON, "capture"), clonezilla), 1 / 3),
        Aim.at_most("capture: processor time / zstd alone", _ratio(fast and fast.processor, stock and stock.processor), 1.1),
        Aim.at_most("capture: image / zstd's stream", _ratio(results.sizes.get(EIDOLON_FAST), results.sizes.get(ZSTD3)), 1.03),
        Aim.at_most("capture: memory in MiB", memory and memory / MIB, 192),
    ]
    chart = {name: results.wall(name, "capture") for name in [ZSTD3, *_tool_names(settings, source.kind, "capture")]}
    return Table("Capture of " + TITLES[source.kind], "%.0f MiB, of which %.0f MiB are in use, in %d pieces." % (
        source.size / MIB, source.used / MIB, len(source.ranges)), COLUMNS, [row for row in rows if row], aims,
        {name: wall for name, wall in chart.items() if wall}, _json_samples(results, "capture"))


def _restore_table(source, results):
    parts = (READ_IMAGE, DECODE, WRITE_TARGET)
    limit = max(filter(None, (results.wall(name, "restore") for name in parts)), default=None)
    clonezilla = results.best(CLONEZILLA, "restore")
    rows = [_row(results, name, "restore", limit, None) for name in (*parts, TOGETHER)]
    names = [name for (name, action) in {**results.samples, **results.failures} if action == "restore" and name not in (*parts, TOGETHER)]
    rows += [_row(results, name, "restore", limit, clonezilla) for name in names]
    hashing = results.wall(HASH, "verify")
    rows += [_row(results, HASH, "verify", hashing, None), (_row(results, EIDOLON, "verify", hashing, None) or [None])]
    rows[-1][0] = "eidolon verify"
    for row in rows:
        if row and len(row) == len(COLUMNS):
            row[4] = results.checks.get(row[0])
    aims = [
        Aim.at_most("restore with read-back: wall / Clonezilla's better time", _ratio(results.wall(EIDOLON, "restore"), clonezilla), 0.5),
        Aim.at_most("restore with read-back: wall / Clonezilla's time as it is run",
                    _ratio(results.wall(EIDOLON, "restore"), results.wall(CLONEZILLA[0], "restore")), 0.5),
        Aim.at_most("restore without: wall / limit", _ratio(results.wall(EIDOLON_FAST, "restore"), limit), 1.15),
        Aim.at_most("verify of an image: wall / decoding and hashing", _ratio(results.wall(EIDOLON, "verify"), hashing), 1.1),
    ]
    chart = {name: results.wall(name, "restore") for name in [DECODE, *names]}
    columns = COLUMNS[:4] + ["checked afterwards"] + COLUMNS[5:]
    return Table("Restore of " + TITLES[source.kind], "The target held garbage before. The last two rows check an image alone.", columns,
                 [row for row in rows if row and len(row) == len(COLUMNS)], aims, {name: wall for name, wall in chart.items() if wall},
                 {**_json_samples(results, "restore"), **_json_samples(results, "verify")})
