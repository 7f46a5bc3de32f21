# SPDX-License-Identifier: GPL-2.0-or-later
"""The stick against a minimal Linux, in emulated machines with two processors: the same firmware, disks and data, from power-on to the finished image and
back. Then what our drivers are worth beside the firmware's, and how long the program itself needs to its first screen and to a list of ten disks.

Times are the host's: each line of a guest is stamped when it arrives, and every end counts after the flush.
"""

import os
import re
import statistics
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "machine"))

import disks  # noqa: E402
import linux_guest  # noqa: E402
import machine  # noqa: E402
import pc  # noqa: E402
from disks import Partitions, events  # noqa: E402
from machine import Machine  # noqa: E402
from report import Aim, Table  # noqa: E402

MIB = 1 << 20
SOURCE, TARGET, IMAGES = "SOURCE", "TARGET", "IMAGES"
TIMEOUT = 240
LAST_ROUND_BEGINS = 300  # seconds after the first: on a slow or busy computer there are fewer rounds


class Watch:
    """The lines of a machine, from power-on to the last one waited for, each with the seconds after power-on at which it came."""

    def __init__(self, m, path):
        self.machine, self.path, self.position, self.lines = m, path, 0, []
        self.begun = time.monotonic()
        m.start()

    def _take(self):
        now = time.monotonic() - self.begun
        with open(self.path, "rb") as file:
            file.seek(self.position)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self.position += whole
        for line in data[:whole].decode(errors="replace").splitlines():
            self.lines.append((now, re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]", "", line).strip()))

    def until(self, pattern):
        """Waits for the first line that matches, from the beginning on, and returns its seconds."""
        while True:
            ended = self.machine.process.poll() is not None
            self._take()
            found = self.at(pattern)
            if found is not None:
                return found
            if ended or time.monotonic() - self.begun > TIMEOUT:
                self.machine.fail("no /%s/" % pattern)
            time.sleep(0.005)

    def at(self, pattern, last=False):
        """When a line that matches came, the first or the last such; None without one."""
        expression = re.compile(pattern)
        found = [seconds for seconds, line in self.lines if expression.search(line)]
        return found[-1 if last else 0] if found else None


class Lab:
    """Source, target and image disks, and the machines between them. Every job is one machine, from power-on to its own end."""

    def __init__(self, settings):
        self.settings = settings
        self.folder = os.path.join(settings.memory, "emulated")
        os.makedirs(self.folder, exist_ok=True)
        self.linux = os.path.join(machine.REPOSITORY, "build", "linux")
        size = 160 if settings.quick else 400
        self.source = pc.PcDisk(os.path.join(self.folder, "source"), ntfs=size, ext4=size)
        self.target = os.path.join(self.folder, "target")
        self.checked = {}  # what restored which image -> hash of the disk that was found right

    def image_disk(self, m, name, fresh):
        """The SATA disk that keeps images: one ext4 volume."""
        path = os.path.join(self.folder, name)
        if fresh:
            os.replace(Partitions(m, "images", 900).format(1, "ext4", "images").path, path)
        return path

    def run(self, job, images, *, command=None, linux=None):
        """One job: "capture" fills a fresh image disk of this name, "restore" takes it and writes an empty target. command: Eidolon's words;
        linux: {"zstd": ..., "partclone": ...}. Returns the seconds of its stages."""
        capture = job == "capture"
        with Machine("bench-%s-%s" % (job, images), processors=2, memory="2G", timeout=TIMEOUT) as m:
            if linux is None:
                m.add_stick(files={"EIDOLON/JOB.TXT": command + "\n"})
            else:
                application = linux_guest.make_application(self.linux, os.path.join(self.folder, "linux.efi"), job, **linux)
                m.add_stick(application=application)
            if not capture:
                machine.sparse_file(self.target, self.source.bytes)
            m.add_nvme(self.source.path if capture else self.target, SOURCE if capture else TARGET)
            m.add_ahci_disk(self.image_disk(m, images, capture), IMAGES)
            watch = Watch(m, m.log_path if linux is None else m.serial_path)
            watch.until(r"job file ended" if linux is None else r"\] end$")
            m.expect_exit(0 if linux is None else None, timeout=20)
            if linux is not None and (failed := watch.at(r"\] (failed|no) ")) is not None:
                m.fail("Linux: a step failed at %.1f s" % failed)
            stages = eidolon_stages(watch) if linux is None else linux_stages(watch)
            stages["image"] = image_size(watch)
        return stages

    def check(self, kind):
        """The restored disk against the source: every file, the file systems' own checkers, the tables. A second restore of the same kind may not
        differ in any byte from the first."""
        digest = disks.sha256(self.target)
        if self.checked.get(kind) != digest:
            # partclone.ntfs leaves the copy of the boot sector out, in the volume's last sector, which ntfsfix looks at.
            at = self.source.offsets[3] + self.source.sizes[3] * MIB - 512
            if "Eidolon" not in kind:
                disks.write_at(self.target, at, disks.read_at(self.source.path, at, 512))
            self.source.compare(self.target)
            self.checked[kind] = digest


def stages_between(marks):
    """[(name, seconds after power-on at its end)] -> {name: its seconds}; an end that is missing belongs to the next."""
    stages, before = {}, 0.0
    for name, end in marks:
        stages[name] = max(0.0, end - before) if end is not None else 0.0
        before = max(before, end or 0.0)
    stages["total"] = before
    return stages


def eidolon_stages(watch):
    begin = watch.at(r"info: eidolon ")
    stamp = next(line for _, line in watch.lines if "info: eidolon " in line)
    return stages_between([
        ("firmware", begin - float(re.match(r"\[ *([\d.]+)\]", stamp).group(1))),
        ("start", watch.at(r"info: job file, line 1")),
        ("plan", watch.at(r"^copying")),
        ("copy", watch.at(r"^(flushing|reading back|finishing)")),
        ("flush", watch.at(r"^reading back") or watch.at(r"^finishing")),
        ("read back", watch.at(r"^finishing") if watch.at(r"^reading back") else None),
        ("end", watch.at(r"job file ended")),
    ])


def linux_stages(watch):
    return stages_between([
        ("firmware", watch.at(r"BdsDxe: starting")),
        ("start", watch.at(r"\] mounted")),
        ("plan", watch.at(r"\] (saved|restored) table")),
        ("copy", watch.at(r"\] (saved|restored) p4")),
        ("flush", watch.at(r"\] end$")),
        ("read back", None),
        ("end", None),
    ])


def image_size(watch):
    """MiB of what a capture wrote."""
    sizes = [int(found.group(1)) / MIB for _, line in watch.lines if (found := re.match(r"size p\d\.zst (\d+)$", line))]
    stored = [float(found.group(1)) for _, line in watch.lines if (found := re.search(r"stored as ([\d.]+) MiB", line))]
    return sum(sizes) if sizes else stored[0] if stored else None


CAPTURE, RESTORE = "capture nvme:%s images:\\pc.eid" % SOURCE, "restore images:\\pc.eid nvme:%s --yes" % TARGET
FAST, CLONEZILLA = {"zstd": "-1 -T2", "partclone": "-q -a0"}, {"zstd": "-3 -T2"}

# (name in the table, capture or restore, image disk, what runs); a restore follows the capture that made its image.
JOBS = [
    ("Linux: partclone -a0, zstd -1 -T2", "capture", "linux-1", {"linux": FAST}),
    ("Linux: partclone -a0, zstd -1 -T2", "restore", "linux-1", {"linux": FAST}),
    ("Linux: Clonezilla's order, zstd -3 -T2", "capture", "linux-3", {"linux": CLONEZILLA}),
    ("Linux: Clonezilla's order, zstd -3 -T2", "restore", "linux-3", {"linux": CLONEZILLA}),
    ("Eidolon, level 1, not read back", "capture", "eidolon-n", {"command": CAPTURE + " --level=1 --no-verify"}),
    ("Eidolon, level 3, not read back", "capture", "eidolon-3", {"command": CAPTURE + " --level=3 --no-verify"}),
    ("Eidolon, level 1", "capture", "eidolon-1", {"command": CAPTURE + " --level=1"}),
    ("Eidolon, level 1, not read back", "restore", "eidolon-1", {"command": RESTORE + " --no-verify"}),
    ("Eidolon, level 1", "restore", "eidolon-1", {"command": RESTORE}),
]
STAGES = ["firmware", "start", "plan", "copy", "flush", "read back", "end"]


def run_jobs(lab, rounds):
    """{(name, job): [stages of each round]}."""
    samples, begun = {}, time.monotonic()
    for number in range(rounds):
        if number and time.monotonic() - begun > LAST_ROUND_BEGINS:
            break
        for name, job, images, what in JOBS:
            stages = lab.run(job, images, **what)
            samples.setdefault((name, job), []).append(stages)
            print("  round %d, %s, %s: %.1f s" % (number + 1, job, name, stages["total"]), flush=True)
            if job == "restore":
                lab.check(name)
    return samples


def median_of(rounds, stage):
    return statistics.median(stages[stage] for stages in rounds)


def job_table(samples, job, title):
    totals = {name: median_of(rounds, "total") for (name, of), rounds in samples.items() if of == job}
    fast, clonezilla = (totals[name] for name, of, _, _ in JOBS[:3:2])
    rows, count = [], 0
    for name, total in totals.items():
        rounds = samples[name, job]
        count = len(rounds)
        image = [median_of(rounds, "image")] if job == "capture" else []
        stages = [round(median_of(rounds, stage), 2) or None for stage in STAGES]
        rows.append([name, *stages, round(total, 2), round(total / fast, 2), round(total / clonezilla, 2), *(round(size) for size in image)])
    noun = "image" if job == "capture" else "disk"
    aims = [Aim.at_most("power-on to the finished %s, level 1%s / Linux with zstd -1" % (noun, words), totals["Eidolon, level 1" + words] / fast, 0.5)
            for words in (", not read back", "")]
    explanation = ("Seconds, medians of %d. Linux does not read back, and its partclone leaves out the copy of NTFS's boot sector. Its start includes the "
                   "kernel and the drivers; its tables are copied in \"plan\"." % count)
    return Table(title, explanation, ["", *STAGES, "total", "/ Linux -1", "/ Clonezilla's"] + (["image, MiB"] if job == "capture" else []), rows, aims,
                 chart={name: round(total, 2) for name, total in totals.items()},
                 samples={name: rounds for (name, of), rounds in samples.items() if of == job})


def drivers_table(lab):
    """Reads by our drivers and by the firmware's, in one guest."""
    with Machine("bench-drivers", processors=2, memory="2G", timeout=TIMEOUT) as m:
        m.add_stick(files={"EIDOLON/JOB.TXT": "measure nvme:%s sata:%s usb:DISK --json\n" % (SOURCE, IMAGES)})
        m.add_nvme(lab.source.path, SOURCE)
        m.add_ahci_disk(lab.image_disk(m, "measured", True), IMAGES)
        m.add_usb_storage(m.new_disk("usb", 256 * MIB), serial="DISK")
        Watch(m, m.log_path).until("job file ended")
        m.expect_exit(0, timeout=20)
        found = events(m, "measure")
    rows = []
    for disk in found:
        for size in disk["sizes"]:
            best = max(size["depth_1"], size["depth_32"])
            own = disk["driver"] != "firmware"
            rows.append([disk["disk"].partition(":")[0], "%d KiB" % (size["request_bytes"] // 1024), round(size["firmware"] / 1e6),
                         round(size["depth_1"] / 1e6) if own else None, round(size["depth_32"] / 1e6) if own else None,
                         round(best / size["firmware"], 1) if own else None])
    return Table("Own drivers and the firmware's, in one emulated machine",
                 "Reads in MB/s, the best of five short rounds. The emulated disks are in memory: this is the cost of requests, not the speed of disks. "
                 "Where only the firmware has a driver, ours are missing.",
                 ["disk", "request", "firmware", "ours, one at a time", "ours, 32 at a time", "best / firmware"], rows, samples=found)


def stamp(m, pattern, which=0):
    """The guest's own seconds since the program's start, of a line of its log."""
    found = re.findall(r"^\[ *([\d.]+)\] " + pattern, m.log(), re.MULTILINE)
    if not found:
        m.fail("no /%s/" % pattern)
    return float(found[which])


def first_screen(lab):
    """From the program's start to the prompt under the first list: (by the host's clock, by the guest's, of which drivers)."""
    with Machine("bench-screen", processors=2, memory="2G", timeout=TIMEOUT) as m:
        m.add_stick()
        m.add_nvme(lab.source.path, SOURCE)
        m.add_ahci_disk(lab.image_disk(m, "screen", True), IMAGES)
        watch = Watch(m, m.serial_path)
        end = watch.until(r"^self-check tries")
        return end - watch.at(r"BdsDxe: starting"), stamp(m, "info: exit code 0"), stamp(m, "info: disk ", -1)


def list_ten(lab, repeats=5):
    """(seconds of each list with ten disks after the drivers are up, seconds from the program's start to the last disk)."""
    with Machine("bench-list", processors=2, memory="2G", timeout=TIMEOUT) as m:
        m.add_stick(files={"EIDOLON/JOB.TXT": "list\n" * (repeats + 1)})
        for number in range(5):
            m.add_nvme(Partitions(m, "n%d" % number, 24, 24).format(1, "ext4", "n%d" % number).format(2, "vfat", "V").path, "N%d" % number)
            m.add_ahci_disk(Partitions(m, "s%d" % number, 24, 24).format(1, "ntfs", "s%d" % number).format(2, "ext4", "e").path, "S%d" % number)
        Watch(m, m.log_path).until("job file ended")
        m.expect_exit(0, timeout=20)
        times = [stamp(m, r"info: job file, line %d: exit code 0" % line) - stamp(m, r"info: job file, line %d: list" % line)
                 for line in range(2, repeats + 2)]
        return times, stamp(m, "info: disk ", -1)


def program_table(lab, rounds):
    screens = [first_screen(lab) for _ in range(rounds)]
    lists, drivers = list_ten(lab)
    screen, guest, up = (statistics.median(values) for values in zip(*screens))
    listed = statistics.median(lists)
    rows = [["application's start to the first screen (an NVMe disk, a SATA disk, the stick)", round(screen, 3)],
            ["the same by the program's clock", round(guest, 3)], ["of which until all disks are found", round(up, 3)],
            ["until all disks are found, with ten and the stick", round(drivers, 3)], ["list of ten disks and the stick, drivers up", round(listed, 3)]]
    return Table("The program's own time", "Seconds. The first screen is the list of disks with the prompt below it.", ["", "seconds"], rows,
                 [Aim.at_most("list with ten disks, seconds", listed, 1), Aim.at_most("start to first screen, seconds", screen, 1)],
                 samples={"screens": screens, "lists": lists, "drivers": drivers})


def run(settings):
    """The tables of this part."""
    machine.BUILD, machine.SHARED_MEMORY = settings.build, settings.memory
    machine.take_precedence()
    print("Emulated machines: making a disk ...", flush=True)
    lab = Lab(settings)
    tables = [program_table(lab, 1 if settings.quick else 3), drivers_table(lab)]
    samples = run_jobs(lab, 1 if settings.quick else min(settings.rounds, 3))
    used = "A disk with ESP, NTFS, ext4 and swap, about %d MiB in use, on NVMe; images on an ext4 volume on SATA" % (2 * (80 if settings.quick else 200) + 50)
    for job, end in (("capture", "finished image"), ("restore", "restored disk")):
        table = job_table(samples, job, "In an emulated machine: from power-on to the " + end)
        table.explanation = used + ". " + table.explanation
        tables.append(table)
    return tables
