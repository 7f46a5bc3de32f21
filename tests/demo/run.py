#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job, shown: an emulated PC boots from the stick, saves its NVMe disk into an image, and puts it back on another disk.

    make demo
    make demo DISK=usb

The PC's disk holds an ESP, NTFS and ext4 volumes with real files, garbage in every unused block, and swap. The image goes onto an ext4
volume on a second disk; the restore goes onto a third, bigger one full of other garbage. At the end every file is compared from outside.

The two disks are on AHCI, and a job file says what to do. With DISK=usb they are UAS disks on the controller that the boot stick and the
PC's only keyboard hang on, and the commands are typed on that keyboard.
"""

import json
import os
import re
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
capture nvme:DEMO-PC ARCHIVE:/{date}-demo-pc.eid
info ARCHIVE:/{date}-demo-pc.eid
restore ARCHIVE:/{date}-demo-pc.eid sata:NEW-DISK --yes
verify ARCHIVE:/{date}-demo-pc.eid sata:NEW-DISK
then poweroff
"""


TYPED = """measure usb:ARCHIVE usb:STICK --json
capture nvme:DEMO-PC ARCHIVE:/demo-pc.eid
restore ARCHIVE:/demo-pc.eid usb:NEW-DISK --yes
verify ARCHIVE:/demo-pc.eid usb:NEW-DISK
list
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


def table(rows):
    width = max(len(row[0]) for row in rows)
    return "\n".join("  %-*s  %s" % (width, *row) for row in rows)


def add_disks(m, usb, archive, target):
    if not usb:
        m.add_stick(files={"EIDOLON/JOB.TXT": JOB})
        m.add_ahci_disk(archive, "ARCHIVE")
        m.add_ahci_disk(target, "NEW-DISK")
        return
    m.add_xhci(p2=8, p3=8)
    m.add_stick()
    m.add_usb_keyboard()
    m.add_uas(archive, "ARCHIVE")
    m.add_uas(target, "NEW-DISK")


def type_commands(m):
    """One after the other; the first makes the controller change hands."""
    for line in TYPED.splitlines() + ["poweroff"]:
        m.wait_for(r"^eidolon> ", timeout=400)
        say("    typed: " + line)
        m.type_text(line + "\n")


def picture(m):
    try:
        shutil.copy(m.screendump("demo.png"), os.path.join(BUILD, "demo.png"))
    except Exception as problem:  # a picture is no reason to fail
        say("no picture: %s" % problem)


def main():
    begun = time.monotonic()
    usb = os.environ.get("DISK") == "usb"
    with Machine(processors=2, memory="1G", screen=True, ps2=not usb, timeout=900) as m:
        say("Making the PC's disk: ESP, NTFS and ext4 with real files, garbage in the unused blocks, swap ...")
        disk = pc.PcDisk(os.path.join(m.disks, "pc.img"))
        archive = os.path.join(m.disks, "archive.img")
        make_archive(archive, 1200 * MIB)
        target = os.path.join(m.disks, "target.img")
        pc.fill_with_garbage(target, disk.bytes + 128 * MIB, seed=99)
        m.add_nvme(disk.path, "DEMO-PC")
        add_disks(m, usb, archive, target)
        say("Booting the stick in QEMU (UEFI, two processors, NVMe and %s disks) ..." % ("UAS" if usb else "AHCI"))
        started = time.monotonic()
        m.start()
        m.wait_for(r"^Eidolon \S+", timeout=90)
        if usb:
            say("Eidolon runs after %.1f s; stick, keyboard and disks are on one xHCI:" % (time.monotonic() - started))
            type_commands(m)
        else:
            say("Eidolon runs after %.1f s; it works through \\EIDOLON\\JOB.TXT:" % (time.monotonic() - started))
            say("".join("    %s\n" % line for line in JOB.splitlines() if not line.startswith("#")))
            m.wait_for(r"Captured", timeout=300)
            picture(m)
        m.expect_exit(None, timeout=840)
        log = m.log()
        shutil.copy(m.log_path, os.path.join(BUILD, "demo.log"))
        say("The machine is off after %.0f s. Comparing every file from outside ..." % (time.monotonic() - started))
        files = disk.compare(target)
        image = os.path.join(m.disks, "pc.eid")
        name = next(word for word in log.split() if word.startswith("ARCHIVE:/")).split(":/")[1]
        if usb:
            assert "is taken from the firmware" in log and log.count("exit code 0\n") == 1 + len(TYPED.splitlines()), log
        subprocess.run(["debugfs", "-R", "dump /%s %s" % (name, image), archive], check=True, capture_output=True)
        with subprocess.Popen(["zstd", "-dc", image], stdout=subprocess.PIPE) as decoder:
            garbage = pc.count_marker(decoder.stdout)
        if decoder.returncode != 0 or garbage > pc.TOLERATED_GARBAGE:
            say("FAILED: zstd -dc ended with %d, and %d blocks of garbage are in the image" % (decoder.returncode, garbage))
            return 1
        report(log, disk, image, files)
        say("Done in %.0f s. The machine's log is %s/demo.log, its screen %s/demo.png." % (
            time.monotonic() - begun, os.path.relpath(BUILD), os.path.relpath(BUILD)))
    return 0


def report(log, disk, image, files):
    """The table at the end, from what the machine's log says."""
    in_use = re.search(r"^ +(\S+ \S+) in use are copied, (\S+ \S+) are not", log, re.M)
    rows = [("disk", "%s; %s in use, %s not in use" % (megabytes(disk.bytes), *in_use.groups())),
            ("image", "%s" % megabytes(os.path.getsize(image)))]
    for word in ("Captured", "Restored", "Checked"):
        rows.append((word.lower(), re.search(word + r" (.*)", log).group(1)))
    for name, line in zip(("image verified", "restore verified"), re.findall(r"Verified: (.*)", log)):
        rows.append((name, line))
    rows.append(("from outside", "%d files compared by hash; e2fsck, ntfsfix and sgdisk content; deleted data stayed out of the image" % files))
    measured = [event for event in json_events(log) if event.get("event") == "measure"]
    for event in measured:
        if event["firmware_bytes_per_second"]:
            rows.append(("%s driver" % event["driver"], "64 KiB reads %s/s, the firmware's %s/s: %.1f times" % (
                megabytes(event["bytes_per_second"]), megabytes(event["firmware_bytes_per_second"]),
                event["bytes_per_second"] / max(event["firmware_bytes_per_second"], 1))))
        else:
            # The firmware does not see this disk: its driver is measured on another disk of the same controller.
            firmware = max(other["firmware_bytes_per_second"] for other in measured)
            rows.append(("%s driver" % event["driver"], "64 KiB reads %s/s, the firmware's USB driver %s/s: %.1f times" % (
                megabytes(event["bytes_per_second"]), megabytes(firmware), event["bytes_per_second"] / max(firmware, 1))))
    say("\n" + table(rows) + "\n")


if __name__ == "__main__":
    sys.exit(main())
