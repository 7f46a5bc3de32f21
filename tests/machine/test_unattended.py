# SPDX-License-Identifier: GPL-2.0-or-later
"""One stick, one file of rules, different PCs one after the other: each gets what is meant for it, and a report of each is on the stick."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import textwrap

import machine
from disks import MTOOLS, Partitions, check_volume, eidolon, filled_disk, sha256, write_at
from machine import Machine
from pc import MIB
from walk import Walk

TIMEOUT = 280

RULES = """[job]
countdown = 2
title = The lab, by night
[rule "one NVMe disk"]
when serial = PC-1*, LAB-1?
when vendor = acme*
do = restore
image = stick:\\IMAGES\\{model}.eid
disk = only nvme disk
erase = yes
then = poweroff
[rule "two SATA disks"]
when model = Tower 9000
when disk size = 60M..
do = restore
image = stick:\\IMAGES\\tower.eid
disk = smallest sata
erase = yes
then = poweroff
"""


@contextlib.contextmanager
def lab(rules, images=True):
    """A folder with a stick that outlives its machines, and the disks whose images are on it: (stick, small, tower)."""
    base = machine.SHARED_MEMORY if os.path.isdir(machine.SHARED_MEMORY) else None
    with tempfile.TemporaryDirectory(prefix="eidolon-lab-", dir=base) as folder:
        with Machine() as m:
            files = {"EIDOLON/JOB.INI": rules} if rules else {}
            sources = []
            for name in ("Slim_700", "tower") if images else ():
                source = Partitions(m, name, 12, 12).fill(1).fill(2, 0.5).path
                sources.append(shutil.copy(source, os.path.join(folder, name)))
                eidolon("capture", source, source + ".eid")
                with open(source + ".eid", "rb") as file:
                    files["IMAGES/%s.eid" % name] = file.read()
            stick = shutil.copy(m.new_stick(files=files, size=128), os.path.join(folder, "stick"))
        yield (stick, *sources)


def pc(stick, serial=None, product="Slim 700", vendor="ACME Ltd.", **options):
    m = Machine(**options)
    m.arguments += ["-smbios", "type=1,manufacturer=%s,product=%s%s" % (vendor, product, ",serial=" + serial if serial else "")]
    m.add_stick(stick)
    return m


def names_on(stick, folder="EIDOLON/REPORTS"):
    done = subprocess.run(["mdir", "-b", "-i", stick + "@@1M", "::" + folder], capture_output=True, text=True, env=MTOOLS, check=False)
    return sorted(name.rsplit("/", 1)[1] for name in done.stdout.split())


def file_on(stick, name, folder="EIDOLON/REPORTS"):
    return subprocess.run(["mtype", "-i", stick + "@@1M", "::%s/%s" % (folder, name)], check=True, capture_output=True, env=MTOOLS).stdout


def report_on(stick, name):
    text = file_on(stick, name + ".txt")
    assert text.count(b"\n") == text.count(b"\r\n") > 10, text
    return json.loads(file_on(stick, name + ".json")), text.decode()


def holds(path, source):
    """Does the disk begin with what the source holds between its two partition tables?"""
    with open(path, "rb") as one, open(source, "rb") as other:
        one.seek(MIB)
        other.seek(MIB)
        return one.read(24 * MIB) == other.read(24 * MIB)


def test_three_machines_with_one_stick():
    with lab(RULES) as (stick, small, tower):
        with pc(stick, "PC-17") as m:
            disk = filled_disk(m, "disk", 32 * MIB)
            m.add_nvme(disk, "NV-1")
            m.start()
            m.expect_exit(None, timeout=90)
            assert holds(disk, small)
            assert "restore in 2 s; any key stops it" in m.log(), m.log()
        with pc(stick, "T-9", product="Tower 9000", vendor="Other") as m:
            big, little = filled_disk(m, "big", 64 * MIB), filled_disk(m, "little", 32 * MIB)
            before = sha256(big)
            m.add_ahci_disk(big, "BIG")
            m.add_ahci_disk(little, "LITTLE")
            m.start()
            m.expect_exit(None, timeout=90)
            assert holds(little, tower) and sha256(big) == before
        with pc(stick, "PC-2", vendor="Somebody") as m:
            disk = filled_disk(m, "disk", 32 * MIB)
            before = sha256(disk)
            m.add_nvme(disk, "NV-2")
            m.start()
            m.wait_for(r"^No rule of the job file is for this machine", timeout=60)
            m.wait_for(r"^eidolon> ")
            m.type_text("exit\n")
            m.expect_exit(10)
            assert sha256(disk) == before
        names = names_on(stick)
        marks = [name for name in names if name.startswith("done-")]
        assert len(marks) == 2 and len(names) == 8 and not any("begun" in name for name in names), names
        data, text = report_on(stick, "PC-17")
        assert data["state"] == "done" and data["exit_code"] == 0 and data["verified"] and data["rule"] == "one NVMe disk", data
        assert data["disk"] == {"name": "nvme:NV-1", "model": "QEMU NVMe Ctrl", "serial": "NV-1", "bytes": 32 * MIB}, data
        assert data["image"]["name"] == "stick:\\IMAGES\\Slim_700.eid" and data["image"]["root"] in eidolon_root(stick, "Slim_700"), data
        assert data["machine"]["vendor"] == "ACME Ltd." and data["machine"]["memory_bytes"] == 1 << 30, data
        assert [disk["boot_stick"] for disk in data["machine"]["disks"] if disk["bus"] == "usb"] == [True], data
        assert text.startswith("DONE.") and "Verified:  yes" in text and "[disk \"nvme:NV-1\"]" in text, text
        data, text = report_on(stick, "T-9")
        assert data["state"] == "done" and data["disk"]["name"] == "sata:LITTLE" and data["verified"], data
        assert [rule["matched"] for rule in data["rules"]] == [False, True], data
        data, text = report_on(stick, "PC-2")
        assert data["state"] == "no rule matched" and data["exit_code"] == 10 and data["written_bytes"] == 0, data
        assert text.startswith("NO RULE MATCHED.") and "model: Slim 700 does not match Tower 9000" in text, text


def eidolon_root(stick, name):
    """What `info` says of an image on the stick."""
    with tempfile.NamedTemporaryFile(suffix=".eid") as file:
        file.write(file_on(stick, name + ".eid", "IMAGES"))
        file.flush()
        return eidolon("info", file.name, "--json")


AGAIN = RULES.replace("then = poweroff", "then = reboot")


def test_a_machine_that_starts_from_the_stick_again_is_left_alone():
    with lab(AGAIN) as (stick, small, _), pc(stick, "PC-17") as m:
        disk = filled_disk(m, "disk", 32 * MIB)
        m.add_nvme(disk, "NV-1")
        m.start()
        m.expect_exit(None, timeout=90)
        assert holds(disk, small)
        write_at(disk, 5 * MIB, b"work of a day")
        m.start()
        m.wait_for(r"^This rule has been carried out on this machine before", timeout=60)
        m.expect_exit(11)
        assert not holds(disk, small)
        # A new disk in the same PC is another matter; so is a key.
        m.start()
        m.wait_for(r"^this ends in 2 s; any key stops it", timeout=60)
        m.send_key("spc")
        m.wait_for(r"^Job file: stopped, exit code 7")
        m.wait_for(r"^eidolon> ")
        m.type_text("exit\n")
        m.expect_exit(7)
        assert len(names_on(stick)) == 3 and not holds(disk, small), names_on(stick)


def test_a_key_stops_the_countdown():
    with lab(RULES.replace("countdown = 2", "countdown = 60")) as (stick, _, __), pc(stick, "PC-17") as m:
        disk = filled_disk(m, "disk", 32 * MIB)
        before = sha256(disk)
        m.add_nvme(disk, "NV-1")
        m.start()
        m.wait_for(r"^restore in 60 s; any key stops it", timeout=60)
        m.send_key("spc")
        m.wait_for(r"^Job file: stopped, exit code 7", timeout=10)
        m.wait_for(r"^eidolon> ")
        m.type_text("exit\n")
        m.expect_exit(7)
        assert sha256(disk) == before
        data, text = report_on(stick, "PC-17")
        assert data["state"] == "stopped" and text.startswith("STOPPED"), text


def test_the_machine_says_what_it_is():
    with Machine(command="job facts") as m:
        m.arguments += ["-smbios", "type=0,version=1.2.3", "-smbios", "type=1,manufacturer=ACME,product=Slim 700,serial=PC-17,"
                        "uuid=4c4c4544-0031-3510-8052-b4c04f4a3132", "-smbios", "type=2,product=B-1", "-smbios", "type=3,asset=LAB-9",
                        "-device", "virtio-net-pci,mac=52:54:00:aa:00:01,netdev=net", "-netdev", "hubport,id=net,hubid=0"]
        m.add_stick()
        m.add_nvme(m.new_disk("disk", "1G"), "NV-1")
        m.start()
        m.expect_exit(0)
        log = m.log()
        for line in ("vendor = ACME", "model = Slim 700", "serial = PC-17", "asset tag = LAB-9", "board = B-1", "firmware = 1.2.3",
                     "uuid = 4c4c4544-0031-3510-8052-b4c04f4a3132", "mac = 52:54:00:aa:00:01", "memory = 1073741824 ; 1.0 GiB",
                     "[disk \"nvme:NV-1\"]", "size = 1073741824 ; 1.0 GiB", "boot stick = yes"):
            assert "\n%s\n" % line in log, (line, log)


def test_facts_go_to_the_stick():
    with Machine(command="job facts stick:\\FACTS\\pc.ini") as m:
        m.add_stick()
        m.add_nvme(m.new_disk("disk", "1G"), "NV-1")
        m.start()
        m.expect_exit(0)
        facts = os.path.join(m.disks, "pc.ini")
        with open(facts, "wb") as file:
            file.write(m.read_stick_file("FACTS/pc.ini"))
        rules = os.path.join(m.disks, "JOB.INI")
        with open(rules, "w") as file:
            file.write("[job]\n[rule \"a\"]\nwhen disk size = 1G..1G\ndo = capture\nimage = B:\\a\ndisk = only internal\n")
        assert "Command: capture nvme:NV-1 " in eidolon("job", "check", rules, "--machine=" + facts)


def test_a_machine_without_identity():
    """No pattern fits what is not known, and the firmware says nothing: SMBIOS of this emulator has no serial number."""
    with lab(RULES + "[rule \"rest\"]\nwhen serial = *\ndo = nothing\n", images=False) as (stick,), pc(stick) as m:
        m.start()
        m.wait_for(r"Rule \"rest\" \(line 20\) is not this machine's: the serial of this machine is not known", timeout=60)
        m.wait_for(r"^eidolon> ")
        m.type_text("exit\n")
        m.expect_exit(10)


# --- on Linux ---

FIRST_SCREEN = r"What would you like to do\?"


def test_the_countdown_on_the_screens():
    with lab(RULES.replace("countdown = 2", "countdown = 60")) as (stick, _, __), pc(stick, "PC-17", screen=True, terminal=True, screens=True) as m:
        disk = filled_disk(m, "disk", 32 * MIB)
        before = sha256(disk)
        m.add_nvme(disk, "NV-1")
        m.start()
        walk = Walk(m)
        text = walk.see(r"This starts by itself in \d+ seconds\. Any key stops it", timeout=60)
        assert 'rule "one NVMe disk" fits this machine' in text and "ERASED: everything that is on it now" in text, text
        assert re.search(r"WRITTEN: the disk QEMU NVMe Ctrl \(serial NV-1, 32 MiB\)", text), text
        assert 'Command: restore "stick:\\IMAGES\\Slim_700.eid" nvme:NV-1 --yes' in text, text
        first = int(re.search(r"in (\d+) seconds", text).group(1))
        walk.see(r"in (?!%d )\d+ seconds" % first)
        walk.press("spc")
        walk.see(r"You stopped it\. Nothing was changed")
        walk.see(r"^  Enter Go on")
        walk.press("ret")
        walk.see(FIRST_SCREEN)
        walk.press("q")
        m.wait_for(r"JOB\.INI ended, exit code 7")
        m.expect_exit(0)
        assert sha256(disk) == before


def test_no_rule_on_the_screens():
    with lab(RULES) as (stick, _, __), pc(stick, "PC-2", vendor="Somebody", screen=True, terminal=True, screens=True) as m:
        disk = filled_disk(m, "disk", 32 * MIB)
        before = sha256(disk)
        m.add_nvme(disk, "NV-2")
        m.start()
        walk = Walk(m)
        text = walk.see(r"NO RULE FITS THIS MACHINE", timeout=60)
        assert "Nothing was changed" in text and "serial = PC-2" in text and re.search(r"nvme:NV-2 +QEMU NVMe Ctrl +32 MiB", text), text
        walk.see(r"The report is in stick:\\EIDOLON\\REPORTS\\PC-2\.txt")
        assert "Command:" not in walk.see(r"^  Enter Go on")
        walk.press("ret")
        walk.see(FIRST_SCREEN)
        walk.press("q")
        m.wait_for(r"JOB\.INI ended, exit code 10")
        m.expect_exit(0)
        assert sha256(disk) == before
        assert report_on(stick, "PC-2")[0]["state"] == "no rule matched"


def test_the_example_of_the_guide():
    with open(os.path.join(machine.REPOSITORY, "docs/guide.md")) as file:
        text = file.read()
    blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE)]
    with tempfile.TemporaryDirectory() as folder:
        for name, begin in (("JOB.INI", "[job]\ntitle"), ("pc.ini", "[machine]\n")):
            found = [block.strip("\n") for block in blocks if block.strip("\n").startswith(begin)]
            assert len(found) == 1, (name, blocks)
            with open(os.path.join(folder, name), "w") as file:
                file.write(found[0] + "\n")
        rules, facts = os.path.join(folder, "JOB.INI"), "--machine=" + os.path.join(folder, "pc.ini")
        said = eidolon("job", "check", rules, facts)
        assert "Rule \"teacher's desk\" (line 6) is not this machine's: serial: PC-21 does not match PC-100." in said, said
        assert "Rule \"lab PCs\" (line 10) is this machine's" in said, said
        assert "Command: restore \"MASTERS:\\lab-OptiPlex_7010.eid\" nvme:S3X9NX0K --yes\n" in said and "Afterwards: poweroff" in said, said
        data = json.loads(eidolon("job", "check", rules, facts, "--json"))
        assert data["state"] == "decided" and data["disk"]["serial"] == "S3X9NX0K" and data["then"] == "poweroff", data
        with open(rules, "a") as file:
            file.write("disk = only sata\n")
        said = eidolon("job", "check", rules, facts, expect=2)
        assert re.search(r"line (\d+): disk is said in line \d+ already", said).group(1) == str(len(open(rules).readlines())), said


def test_rules_on_linux():
    with tempfile.TemporaryDirectory() as folder:
        disk, image, rules, reports = (os.path.join(folder, name) for name in ("disk", "a.eid", "JOB.INI", "reports"))
        with open(disk, "wb") as file:
            file.write(os.urandom(4 * MIB))
        eidolon("capture", disk, image)
        with open(rules, "w") as file:
            file.write("[job]\ncountdown = 0\nreport = %s\n[rule \"a\"]\ndo = verify\nimage = %s\nthen = reboot\n" % (reports, image))
        assert "THE REPORT COULD NOT BE WRITTEN" in eidolon("job", "run", rules, expect=12)
        os.mkdir(reports)
        assert "Not rebooting" in eidolon("job", "run", rules)
        names = sorted(name for name in os.listdir(reports) if not name.startswith("done-"))
        assert len(names) == 2 and len(os.listdir(reports)) == 3, os.listdir(reports)
        with open(os.path.join(reports, names[0])) as file:
            data = json.load(file)
        assert data["state"] == "done" and data["verified"] and data["image"]["root"] in eidolon("info", image, "--json"), data
        eidolon("job", "run", rules, expect=11)
        write_at(image, 3 * MIB, b"damage")
        with open(rules) as file:
            text = file.read()
        with open(rules, "w") as file:
            file.write(text.replace("then = reboot", "then = poweroff"))
        assert "Job file: failed, exit code 6" in eidolon("job", "run", rules, expect=6)
        failed = [name for name in os.listdir(reports) if name.endswith("-2.txt")]
        with open(os.path.join(reports, failed[0])) as file:
            assert file.read().startswith("FAILED.")
        eidolon("job", "walk", rules, expect=2)
        eidolon("job", "run", rules, "--machine=x", expect=2)


def refused(rules, code, state, *words, add=None, serial="PC-17"):
    """The machine is left alone, says why, and does not switch off. Returns the log."""
    with lab(rules) as (stick, _, __), pc(stick, serial) as m:
        disk = filled_disk(m, "disk", 32 * MIB)
        before = sha256(disk)
        m.add_nvme(disk, "NV-1")
        if add:
            add(m)
        m.start()
        m.wait_for(r"^eidolon> ", timeout=60)
        m.type_text("exit\n")
        m.expect_exit(code)
        assert sha256(disk) == before
        for word in words:
            assert word in m.log(), m.log()
        if state:
            data, text = report_on(stick, names_on(stick)[0].rsplit(".", 1)[0])
            assert data["state"] == state and data["exit_code"] == code, data
            for word in words:
                assert word in text, text
        else:
            assert not names_on(stick), names_on(stick)


def test_two_disks_that_fit_are_refused():
    refused(RULES, 2, "refused", "\"only nvme disk\" fits 2 disks: nvme:NV-1, nvme:NV-2",
            add=lambda m: m.add_nvme(m.new_disk("second", 64 * MIB), "NV-2"))


def test_a_missing_image_is_refused():
    refused(RULES.replace("{model}", "no-such"), 2, "refused", "no-such.eid")


def test_a_mistake_in_any_rule_stops_all():
    refused(RULES.replace("smallest sata", "smallest"), 2, None, "job file stick:\\EIDOLON\\JOB.INI:", "line 17: disk is:")


def test_two_job_files_are_one_too_many():
    with lab(RULES) as (stick, _, __), pc(stick, "PC-17") as m:
        lines = os.path.join(m.disks, "lines")
        with open(lines, "w") as file:
            file.write("list\n")
        subprocess.run(["mcopy", "-i", stick + "@@1M", lines, "::EIDOLON/JOB.TXT"], check=True, env=MTOOLS)
        m.start()
        m.wait_for(r"^There are two job files on the stick", timeout=60)
        m.wait_for(r"^eidolon> ")
        m.type_text("exit\n")
        m.expect_exit(2)


def test_a_report_that_cannot_be_written_stops_it_before():
    """No machine is worked on of which nobody would know."""
    refused(RULES.replace("countdown = 2", "report = NOWHERE:\\reports"), 12, None, "THE REPORT COULD NOT BE WRITTEN TO NOWHERE:\\reports")


def images_disk(m, folder, name, rules=RULES):
    """A USB disk with an ext4 volume MASTERS: the rules and the image beside each other."""
    place = os.path.join(folder, name + ".files")
    os.makedirs(os.path.join(place, "EIDOLON"))
    with open(os.path.join(place, "EIDOLON/JOB.INI"), "w") as file:
        file.write(rules)
    source = Partitions(m, name + "-source", 12, 12).fill(1).fill(2, 0.5).path
    eidolon("capture", source, os.path.join(place, "Slim_700.eid"))
    path = machine.sparse_file(os.path.join(folder, name), "64M")
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", name, "-d", place, path], check=True)
    m.add_usb_storage(path, serial=name)
    return path, source


ELSEWHERE = RULES.replace("countdown = 2", "countdown = 1\nreport = MASTERS:\\reports").replace("stick:\\IMAGES", "MASTERS:")


def test_rules_beside_the_images():
    with lab(None, images=False) as (stick,), pc(stick, "PC-17") as m:
        disk = filled_disk(m, "disk", 32 * MIB)
        m.add_nvme(disk, "NV-1")
        images, source = images_disk(m, m.disks, "MASTERS", ELSEWHERE)
        m.start()
        m.wait_for(r"^Job file MASTERS:\\EIDOLON\\JOB.INI: The lab, by night", timeout=60)
        m.wait_for(r"^restore in 10 s; any key stops it")
        m.expect_exit(None, timeout=90)
        assert holds(disk, source)
        names = subprocess.run(["debugfs", "-R", "ls -p /reports", images], check=True, capture_output=True, text=True).stdout
        assert "/PC-17.txt/" in names and "/PC-17.json/" in names and "/done-" in names and "begun" not in names, names
        check_volume(images, "ext4")


def test_two_disks_with_rules_are_one_too_many():
    with lab(None, images=False) as (stick,), pc(stick, "PC-17") as m:
        disk = filled_disk(m, "disk", 32 * MIB)
        before = sha256(disk)
        m.add_nvme(disk, "NV-1")
        images_disk(m, m.disks, "MASTERS", ELSEWHERE)
        images_disk(m, m.disks, "OTHERS", ELSEWHERE)
        m.start()
        m.wait_for(r"there are 2 job files, and none is run: MASTERS:\\EIDOLON\\JOB.INI, OTHERS:\\EIDOLON\\JOB.INI", timeout=60)
        m.wait_for(r"^eidolon> ")
        m.type_text("exit\n")
        m.expect_exit(2)
        assert sha256(disk) == before
