#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job, shown: an emulated PC boots from the stick, saves its NVMe disk into an image, and puts it back on another disk.

    make demo

The PC's disk holds an ESP, NTFS and ext4 volumes with real files, garbage in every unused block, and swap. The image goes onto an ext4
volume on a second disk (AHCI); the restore goes onto a third, bigger one (AHCI) full of other garbage. At the end every file is
compared from outside.
"""

import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "machine"))
os.environ.setdefault("EIDOLON_TEST", "demo")

import pc  # noqa: E402
from machine import BUILD, Machine  # noqa: E402

MIB = 1 << 20

JOB = """# The job file of the demo: \\EIDOLON\\JOB.TXT on the stick
measure nvme:DEMO-PC sata:ARCHIVE --json
list
capture nvme:DEMO-PC ARCHIVE:/{date}-demo-pc.eid --json
info ARCHIVE:/{date}-demo-pc.eid
restore ARCHIVE:/{date}-demo-pc.eid sata:NEW-DISK --yes --json
verify ARCHIVE:/{date}-demo-pc.eid sata:NEW-DISK --json
then poweroff
"""


def say(text):
    print(text, flush=True)


def make_archive(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    pc.run("mkfs.ext4", "-q", "-F", "-L", "ARCHIVE", path)


def json_events(log):
    """The JSON lines of the log, whatever stands before them on the line."""
    for line in log.splitlines():
        start = line.find('{"')
        if start >= 0:
            try:
                yield json.loads(line[start:])
            except ValueError:
                pass


def megabytes(count):
    return "%.0f MiB" % (count / MIB)


def rate(count, milliseconds):
    return "%.0f MiB/s" % (count / MIB / max(milliseconds, 1) * 1000)


def table(rows):
    width = max(len(row[0]) for row in rows)
    return "\n".join("  %-*s  %s" % (width, *row) for row in rows)


def main():
    begun = time.monotonic()
    with Machine(processors=2, memory="1G", screen=True, timeout=900) as m:
        say("Making the PC's disk: ESP, NTFS and ext4 with real files, garbage in the unused blocks, swap ...")
        disk = pc.PcDisk(os.path.join(m.disks, "pc.img"))
        archive = os.path.join(m.disks, "archive.img")
        make_archive(archive, 1200 * MIB)
        target = os.path.join(m.disks, "target.img")
        pc.fill_with_garbage(target, disk.bytes + 128 * MIB, seed=99)
        m.add_stick(files={"EIDOLON/JOB.TXT": JOB})
        m.add_nvme(disk.path, "DEMO-PC")
        m.add_ahci_disk(archive, "ARCHIVE")
        m.add_ahci_disk(target, "NEW-DISK")
        say("Booting the stick in QEMU (UEFI, two processors, NVMe and AHCI disks) ...")
        started = time.monotonic()
        m.start()
        m.wait_for(r"^Eidolon \S+", timeout=90)
        say("Eidolon runs after %.1f s; it works through \\EIDOLON\\JOB.TXT:" % (time.monotonic() - started))
        say("".join("    %s\n" % line for line in JOB.splitlines() if not line.startswith("#")))
        m.wait_for(r'"event":"progress"', timeout=240)
        m.wait_for(r'"event":"progress".*"phase":"copying"', timeout=120)
        try:
            shutil.copy(m.screendump("demo.png"), os.path.join(BUILD, "demo.png"))
        except Exception as problem:  # a picture is no reason to fail
            say("no picture: %s" % problem)
        m.expect_exit(None, timeout=840)
        log = m.log()
        shutil.copy(m.log_path, os.path.join(BUILD, "demo.log"))
        say("The machine is off after %.0f s. Comparing every file from outside ..." % (time.monotonic() - started))
        files = disk.compare(target)
        image = os.path.join(m.disks, "pc.eid")
        name = next(word for word in log.split() if word.startswith("ARCHIVE:/")).split(":/")[1]
        subprocess.run(["debugfs", "-R", "dump /%s %s" % (name, image), archive], check=True, capture_output=True)
        with subprocess.Popen(["zstd", "-dc", image], stdout=subprocess.PIPE) as decoder:
            garbage = pc.count_marker(decoder.stdout)
        if decoder.returncode != 0 or garbage > pc.TOLERATED_GARBAGE:
            say("FAILED: zstd -dc ended with %d, and %d blocks of garbage are in the image" % (decoder.returncode, garbage))
            return 1
        events = list(json_events(log))
        report(events, disk, image, files)
        say("Done in %.0f s. The machine's log is %s/demo.log, its screen %s/demo.png." % (
            time.monotonic() - begun, os.path.relpath(BUILD), os.path.relpath(BUILD)))
    return 0


def report(events, disk, image, files):
    results = [event for event in events if event.get("event") == "result"]
    plan = next(event for event in events if event.get("event") == "plan")
    capture, restore, check = results[:3]
    stored = os.path.getsize(image)
    rows = [
        ("disk", "%s, in use %s" % (megabytes(disk.bytes), megabytes(plan["used_bytes"]))),
        ("image", "%s, %.0f%% of what is in use" % (megabytes(stored), 100 * stored / plan["used_bytes"])),
        ("capture", "%.1f s, %s on %d processors, memory %s" % (
            capture["copy_milliseconds"] / 1000, rate(capture["read_bytes"], capture["copy_milliseconds"]),
            capture["processors"], megabytes(capture["memory_bytes"]))),
        ("  read back", "%.1f s, %s: %s" % (capture["verify_milliseconds"] / 1000,
                                         rate(capture["verified_bytes"], capture["verify_milliseconds"]), capture["verification"])),
        ("restore", "%.1f s, %s" % (restore["copy_milliseconds"] / 1000, rate(restore["written_bytes"], restore["copy_milliseconds"]))),
        ("  read back", "%.1f s, %s: %s" % (restore["verify_milliseconds"] / 1000,
                                         rate(restore["verified_bytes"], restore["verify_milliseconds"]), restore["verification"])),
        ("verify", "the restored disk against the image: exit code %d" % check["exit_code"]),
        ("from outside", "%d files compared by hash; e2fsck, ntfsfix and sgdisk content; deleted data stayed out of the image" % files),
    ]
    for event in events:
        if event.get("event") == "measure":
            rows.append(("%s driver" % event["driver"], "64 KiB reads %s, the firmware's %s: %.1f times" % (
                rate(event["bytes_per_second"], 1000), rate(event["firmware_bytes_per_second"], 1000),
                event["bytes_per_second"] / max(event["firmware_bytes_per_second"], 1))))
    say("\n" + table(rows) + "\n")


if __name__ == "__main__":
    sys.exit(main())
