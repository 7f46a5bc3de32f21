# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs on the bare machine: from a job file, typed at the prompt, from a boot option; what they refuse, how they end, and that a second
processor is worth having."""

import os
import re
import subprocess

import machine
from disks import MTOOLS, Partitions, check_image, events, filled_disk, sha256
from machine import Machine, take_precedence
from pc import MIB, run

TIMEOUT = 200
ALONE = {"test_a_second_processor_helps"}


def stick_files(m):
    """The names of all files of the stick, after the machine has ended."""
    return subprocess.run(["mdir", "-/", "-b", "-i", m.stick_path + "@@1M", "::"], check=True, capture_output=True, text=True,
                          env=MTOOLS).stdout.split()


def saved_image(m, name):
    path = os.path.join(m.disks, "saved.eid")
    with open(path, "wb") as file:
        file.write(m.read_stick_file(name))
    return path


def check_job_file(words, drivers):
    job = words + ("\r\n# as the guide has it\r\ncapture nvme:SOURCE stick:\\IMAGES\\{serial}-{model}.eid\r\n"
                   "info stick:\\IMAGES\\{serial}-{model}.eid\r\nrestore stick:\\IMAGES\\{serial}-{model}.eid sata:TARGET --yes\r\nthen poweroff\r\n")
    with Machine(processors=2) as m:
        m.arguments += ["-smbios", "type=1,serial=PC 77,product=Lab/9000"]
        source = Partitions(m, "source", 24, 24).fill(1).fill(2, 0.5)
        before = sha256(source.path)
        target = filled_disk(m, "target", 64 * MIB)
        m.add_stick(size=128, files={"EIDOLON/JOB.TXT": job})
        m.add_nvme(source.path, "SOURCE")
        m.add_ahci_disk(target, "TARGET")
        m.start()
        m.expect_exit(None, timeout=120)
        log = m.log()
        for name, driver in zip(("nvme:SOURCE", "sata:TARGET"), drivers):
            assert re.search(r"disk %s: .* driver %s$" % (name, driver), log, re.MULTILINE), log
        assert log.count("Verified: read back in") == 2, log
        saved = m.read_stick_file("EIDOLON/LOG.TXT").decode()
        for line in (3, 4, 5):
            assert "job file, line %d: exit code 0" % line in saved, saved
        assert "restore stick:\\IMAGES\\PC_77-Lab_9000.eid sata:TARGET --yes" in saved and "job file ended, exit code 0" in saved, saved
        assert sha256(source.path) == before
        check_image(saved_image(m, "IMAGES/PC_77-Lab_9000.eid"), source.path)
        for number in (1, 2):
            assert source.contents(number) == source.contents(number, target), number
        verdict = run("sgdisk", "-v", target, text=True).stdout
        assert "No problems found" in verdict, verdict


def test_job_file_saves_and_restores():
    check_job_file("io=native", ("nvme", "ahci"))


def test_job_file_through_the_firmware_alone():
    check_job_file("io=firmware", ("firmware", "firmware"))


def run_job(job, code):
    """Runs a job file beside two disks; returns log, files of the stick, and whether the target is as it was."""
    with Machine() as m:
        source, target = filled_disk(m, "source", 8 * MIB), filled_disk(m, "target", 8 * MIB)
        before = sha256(target)
        m.add_stick(files={"EIDOLON/JOB.TXT": job})
        m.add_nvme(source, "SOURCE")
        m.add_ahci_disk(target, "TARGET")
        m.start()
        m.expect_exit(code)
        return m.log(), stick_files(m), sha256(target) == before


def test_all_lines_are_checked_before_the_first_runs():
    log, files, unchanged = run_job("capture nvme:SOURCE stick:\\a.eid\nrestore stick:\\a.eid sata:TARGET\nthen poweroff\n", 3)
    assert "job file, line 2:\n" in log and "needs --yes in a job file" in log, log
    assert "Plan:" not in log and "::/a.eid" not in files and unchanged, (log, files)


def test_the_first_failure_stops_and_nothing_is_switched_off():
    log, files, unchanged = run_job("capture nvme:SOURCE stick:\\a.eid\nverify stick:\\a.eid sata:TARGET\n"
                                    "restore stick:\\a.eid sata:TARGET --yes\nthen poweroff\n", 8)
    assert "job file, line 2: exit code 8; the rest was not run." in log, log
    assert "::/a.eid" in files and unchanged, files


def test_a_person_at_the_prompt():
    with Machine(screen=True, processors=2) as m:
        source, target = filled_disk(m, "source", 24 * MIB), filled_disk(m, "target", 24 * MIB)
        before = sha256(target)
        m.add_stick(size=160)
        disk = m.add_ahci_disk(source, "SOURCE", throttle={})
        m.add_nvme(target, "TARGET-1234")
        m.start()
        m.wait_for(r"^eidolon> ", timeout=60)
        m.type_text("capture sata: stick:\\a.eid\n")
        m.wait_for(r"^Verified: read back.*\n(.*\n)*eidolon> ")
        m.type_text("restore stick:\\a.eid nvme:\n")
        m.wait_for(r"To destroy what is on nvme:TARGET-1234 \(.*\), type the last four characters of its serial")
        m.type_text("yes\n")
        m.wait_for(r"nobody agreed; nothing was written")
        assert sha256(target) == before
        m.wait_for(r"^eidolon> ")
        m.type_text("restore stick:\\a.eid nvme:\n")
        m.wait_for(r"type the last four characters of its serial")
        m.type_text("1234\n")
        m.wait_for(r"^Verified: read back.*\n(.*\n)*eidolon> ")
        assert sha256(source) == sha256(target)
        m.set_throttle(disk, bps_total=4 * MIB)
        m.type_text("capture sata: stick:\\b.eid\n")
        m.wait_for(r"^copying")
        m.send_key("esc")
        m.wait_for(r"^error: cancelled.*\n(.*\n)*eidolon> ")
        m.set_throttle(disk)
        m.type_text("verify stick:\\a.eid nvme:\n")
        m.wait_for(r"^Everything matched.\n(.*\n)*eidolon> ")
        m.type_text("exit\n")
        m.expect_exit(0)
        files = stick_files(m)
        assert "::/a.eid" in files and "::/b.eid" not in files, files
        check_image(saved_image(m, "a.eid"), source)


def test_a_boot_option_carries_a_command():
    """Made by the firmware's own shell: the program with words behind it, started by the firmware's boot manager."""
    script = "@echo -off\nbcfg boot add 0 fs0:\\TOOLS\\EIDOLON.EFI Eidolon\nbcfg boot -opt 0x0 fs0:\\words.txt\necho MADE\nreset -s\n"
    words = "capture nvme:SOURCE stick:\\option.eid\0".encode("utf-16le")
    with Machine() as m:
        with open(os.path.join(machine.BUILD, "eidolon.efi"), "rb") as file:
            application = file.read()
        empty = machine.sparse_file(os.path.join(m.disks, "empty.efi"), 0)
        source = filled_disk(m, "source", 8 * MIB)
        m.add_stick(application=empty, bootindex=None,
                    files={"startup.nsh": script.replace("\n", "\r\n"), "words.txt": words, "TOOLS/EIDOLON.EFI": application})
        m.add_nvme(source, "SOURCE")
        m.start()
        m.wait_for(r"any other key to continue", source="serial", timeout=60)
        m.send_key("spc")
        m.wait_for(r"^MADE", source="serial")
        m.expect_exit(None)
        m.start()
        m.expect_exit(0)
        check_image(saved_image(m, "option.eid"), source)


def test_a_second_processor_helps():
    """With small chunks and little compression, so that processors are compared and not the caches that they share."""
    job = "".join("capture nvme:SOURCE stick:\\%d.eid --no-verify --json --level=1 --chunk=256K%s\n" % (
        number, ("", " --processors=1")[number % 2]) for number in range(1, 7)) + "then return\n"
    take_precedence()
    with Machine(processors=2) as m:
        source = os.path.join(m.disks, "source.img")
        with open(source, "wb") as file:
            subprocess.run("tar -cf - /usr/bin /usr/lib 2>/dev/null | head -c %d" % (48 * MIB), shell=True, stdout=file, check=True)
        m.add_stick(size=256, files={"EIDOLON/JOB.TXT": job})
        m.add_nvme(source, "SOURCE")
        m.start()
        m.expect_exit(0, timeout=150)
        results = events(m, "result")
        assert [result["processors"] for result in results] == [1, 2, 1, 2, 1, 2], results
        ratios = [one["copy_milliseconds"] / two["copy_milliseconds"] for one, two in zip(results[::2], results[1::2])]
        print("two processors: %.2f, %.2f and %.2f times as fast as one" % tuple(ratios))
        assert max(ratios) >= 1.2, ratios
