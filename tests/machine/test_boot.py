# SPDX-License-Identifier: GPL-2.0-or-later
"""The application on the bare machine: it starts from a stick, finds the disks of every kind, uses the processors, can be talked to, and
leaves the machine as it was."""

import os
import re
import subprocess

import machine
from machine import Machine

TIMEOUT = 150


def check_names(log, names):
    listed = re.findall(r"^(\S+:\S+)$", log, re.MULTILINE)
    assert sorted(listed) == sorted(names), "listed %s, expected %s" % (listed, names)


def list_until(m, names, patience=15):
    """Asks for the list at the prompt until it holds these names: the firmware looks at its hubs once a second."""
    for _ in range(patience):
        begin = len(m.log())
        m.type_text("list\n")
        m.wait_for(r"exit code 0")
        if sorted(re.findall(r"^(\S+:\S+)$", m.log()[begin:], re.MULTILINE)) == sorted(names):
            return
        m.wait_for(r"^eidolon> ")
    m.fail("the list is never " + ", ".join(names))


def make_table(disk, partitions):
    """A GPT with partitions given as sgdisk wants them: "2048:+32M"."""
    for number, place in enumerate(partitions, 1):
        subprocess.run(["sgdisk", "-n", "%d:%s" % (number, place), disk], check=True, capture_output=True)


def add_disks_of_every_kind(m):
    m.add_nvme(m.new_disk("nvme", "1G"), "NVME1", namespaces=[m.new_disk("nvme2", "1G")], mdts=5, logical_block_size=4096,
               physical_block_size=4096)
    m.add_ahci_disk(m.new_disk("sata", "1G"), "SATA1")
    m.add_cdrom()
    m.add_usb_storage(m.new_disk("usb", "1G"), "USB1")
    m.add_usb_storage(m.new_disk("usb4k", "1G"), "USB4K", logical_block_size=4096, physical_block_size=4096)
    m.add_virtio_blk(m.new_disk("virtio", "1G"), "VIRTIO1")
    m.add_usb_keyboard()
    return ["nvme:NVME1", "nvme:NVME1/n2", "sata:SATA1", "usb:USB1", "usb:USB4K", "usb:STICK"]


def test_job_file_lists_disks_of_every_kind():
    with Machine(processors=2, screen=True) as m:
        m.add_stick(files={"EIDOLON/JOB.TXT": "# what is here?\nlist\n"})
        names = add_disks_of_every_kind(m)
        m.start()
        m.wait_for(r"^Eidolon \S+", timeout=60)
        virtio = m.wait_for(r"^(virtio:\S+)$").group(1)  # its place on the bus is its name
        m.expect_exit(0)
        check_names(m.log(), names + [virtio])
        assert re.search(r"disk nvme:NVME1: .* driver nvme$", m.log(), re.MULTILINE), m.log()
        assert "usb:STICK: QEMU QEMU HARDDISK, 67108864 bytes, driver firmware, boot disk" in m.log(), m.log()
        saved = m.read_stick_file("EIDOLON/LOG.TXT").decode()
        assert "disk sata:SATA1" in saved and "job file ended, exit code 0" in saved, saved


def test_firmware_drivers_give_the_same_names():
    with Machine(command="list io=firmware") as m:
        m.add_stick()
        names = add_disks_of_every_kind(m)
        m.start()
        virtio = m.wait_for(r"^(virtio:\S+)$", timeout=60).group(1)
        m.expect_exit(0)
        check_names(m.log(), names + [virtio])
        assert not re.search(r"driver (nvme|ahci)", m.log()), m.log()


def check_self_check(processors, *, command="self-check", boot_from_nvme=False):
    with Machine(processors=processors, command=command) as m:
        if boot_from_nvme:
            m.add_nvme(m.new_stick(), "BOOT", bootindex=0)
        else:
            m.add_stick()
        m.add_nvme(m.new_disk("nvme", "1G"), "NVME1")
        m.start()
        m.wait_for(r"^self-check: processors: ok, %d workers" % (processors - 1), timeout=90)
        m.expect_exit(0, timeout=90)
        assert "self-check: file on the stick: ok" in m.log() and "FAILED" not in m.log(), m.log()
        assert "self-check: keyboard for the firmware: ok, its console takes it" in m.log(), m.log()
        assert "were not given back" not in m.log(), m.log()
        return m.log()


def test_self_check_on_one_processor():
    check_self_check(1)


def test_self_check_on_four_processors():
    check_self_check(4)


def test_boot_disk_on_a_controller_that_is_taken_over():
    log = check_self_check(2, boot_from_nvme=True)
    assert re.search(r"disk nvme:BOOT: .* driver nvme, boot disk$", log, re.MULTILINE), log


def test_boot_disk_left_to_the_firmware():
    log = check_self_check(1, command="self-check io=firmware", boot_from_nvme=True)
    assert re.search(r"disk nvme:BOOT: .* driver firmware, boot disk$", log, re.MULTILINE), log


def test_exit_codes_of_commands():
    for command, code in (("no-such-command", 2), ("info stick:\\none.eid", 2), ("list nvme:NONE", 2)):
        with Machine(command=command) as m:
            m.add_stick()
            m.start()
            m.expect_exit(code)
            assert "error: " in m.log(), m.log()


def test_prompt_takes_commands_from_the_keyboard():
    with Machine(screen=True) as m:
        m.add_stick()
        m.add_ahci_disk(m.new_disk("sata", "1G"), "SATA1")
        m.start()
        m.wait_for(r"^eidolon> ", timeout=60)
        check_names(m.log(), ["usb:STICK", "sata:SATA1"])
        m.type_text("list satx")
        m.send_key("backspace")
        m.type_text("a\n")
        m.wait_for(r"^sata:SATA1$")
        m.wait_for(r"^eidolon> ")
        m.type_text("exit\n")
        m.expect_exit(0)


def test_shell_finds_its_disks_again():
    script = ("@echo -off\nfs0:\nconnect -r\nmap -r\necho BEFORE\nmap\nfs0:\\TOOLS\\EIDOLON.EFI list\nif %lasterror% == 0 then\necho CODE-ZERO\nendif\n"
              "map -r\nFS0:\\TOOLS\\EIDOLON.EFI list nvme:NONE\nif %lasterror% == 0 then\necho WRONG\nelse\n"
              "echo CODE-OTHER\nendif\nreset -s\n")
    with Machine(processors=2, exit_port=False) as m:
        with open(os.path.join(machine.BUILD, "eidolon.efi"), "rb") as file:
            application = file.read()
        empty = machine.sparse_file(os.path.join(m.disks, "empty.efi"), 0)
        m.add_stick(application=empty, files={"startup.nsh": script.replace("\n", "\r\n"), "TOOLS/EIDOLON.EFI": application})
        m.add_nvme(m.new_disk("nvme", "1G"), "NVME1")
        m.add_ahci_disk(m.new_disk("sata", "1G"), "SATA1")
        m.start()
        m.wait_for(r"^nvme:NVME1$", timeout=90)
        m.wait_for(r"CODE-ZERO", source="serial", timeout=60)
        m.expect_exit(None, timeout=60)
        before, after = m.serial().split("BEFORE")[1].split("CODE-ZERO")
        for device in ("NVMe(0x1", "Sata(0x0", "USB(0x0"):
            assert device in before and device in after, "%s is missing:\n%s" % (device, m.serial())
        assert "CODE-OTHER" in after and "WRONG" not in after, after


def test_words_of_the_kernel_command_line():
    with Machine(kernel=os.path.join(machine.BUILD, "eidolon.efi")) as m:
        m.arguments += ["-append", "list io=firmware usb:OTHER"]
        m.add_usb_storage(m.new_disk("usb", "64M"), "OTHER")
        m.start()
        m.wait_for(r"^usb:OTHER$", timeout=60)
        m.expect_exit(0)


def test_job_file_ends_as_it_says():
    for end, reason in (("poweroff", "guest-shutdown"), ("reboot", "guest-reset")):
        with Machine() as m:
            m.add_stick(files={"EIDOLON/JOB.TXT": "io=firmware\r\nversion\r\nthen %s\r\n" % end})
            m.arguments.append("-no-shutdown")  # stay, so that the event can be seen
            m.start()
            m.qmp("query-status")
            m.wait_for(r"^eidolon \S+$", timeout=60)
            assert m.wait_event("SHUTDOWN", timeout=60)["data"]["reason"] == reason


def test_escape_cancels_a_capture():
    with Machine(screen=True, command="capture sata:SOURCE stick:\\IMAGES\\a.eid") as m:
        m.add_stick(size=256)
        m.add_ahci_disk(m.new_disk("sata", "4G"), "SOURCE", throttle={"bps_total": 20 << 20})
        m.start()
        m.wait_for(r"^copying", timeout=60)
        m.send_key("esc")
        m.expect_exit(7)
        assert "cancelled" in m.log(), m.log()


def test_firmware_that_calls_a_failed_read_good():
    with Machine(command="capture sata:BAD stick:\\a.eid --salvage io=firmware") as m:
        disk = m.new_disk("sata", "8M")
        with open(disk, "r+b") as file:
            file.write(b"\xa5" * (8 << 20))
        m.add_stick()
        m.add_ahci_disk(disk, "BAD", inject=[{"iotype": "read", "sector": 4096}])
        m.start()
        m.wait_for(r"^warning: sata:BAD: 512 bytes at byte 2097152 cannot be read", timeout=90)
        m.expect_exit(9)


def test_image_on_a_fat_volume_of_a_disk_of_ours():
    """Images go to and come from a FAT volume that only our driver reaches, also while another partition of that disk is restored."""
    job = ("capture nvme:SOURCE IMAGES:\\deep\\er\\a.eid\ninfo IMAGES:\\deep\\er\\a.eid\n"
           "restore IMAGES:\\deep\\er\\a.eid#1 sata:HOME#2 --yes\nverify IMAGES:\\deep\\er\\a.eid\n")
    with Machine(processors=2) as m:
        source, home = m.new_disk("source", "64M"), m.new_disk("home", "300M")
        make_table(source, ["2048:+32M"])
        make_table(home, ["2048:+128M", "0:+32M"])
        with open(source, "r+b") as file:
            file.seek(1 << 20)
            file.write(os.urandom(32 << 20))
        environment = dict(os.environ, MTOOLS_SKIP_CHECK="1")
        subprocess.run(["mformat", "-i", home + "@@1M", "-F", "-T", str(128 << 11), "-h", "255", "-s", "63", "-v", "IMAGES", "::"],
                       check=True, env=environment)
        m.add_stick(files={"EIDOLON/JOB.TXT": job})
        m.add_nvme(source, "SOURCE")
        m.add_ahci_disk(home, "HOME")
        m.start()
        m.expect_exit(0, timeout=100)
        log = m.log()
        assert len(re.findall(r"^Verified: read back", log, re.MULTILINE)) == 2 and "Everything matched." in log, log
        with open(source, "rb") as one, open(home, "rb") as other:
            one.seek(1 << 20)
            other.seek(129 << 20)
            assert one.read(32 << 20) == other.read(32 << 20)
        image = subprocess.run(["mtype", "-i", home + "@@1M", "::deep/er/a.eid"], check=True, capture_output=True, env=environment).stdout
        with open(source, "rb") as file:
            assert subprocess.run(["zstd", "-dc"], input=image, check=True, capture_output=True).stdout == file.read()


def test_ten_disks_come_up_side_by_side():
    with Machine(command="list") as m:
        m.add_stick()
        for place, serial in enumerate(("A", "SAME", "SAME", "B", "C"), 8):
            m.add_nvme(m.new_disk("nvme-%d" % place, "64M"), serial, addr="0x%x" % place)
        for number in range(5):
            m.add_ahci_disk(m.new_disk("sata-%d" % number, "64M"), "S%d" % number)
        m.start()
        m.wait_for(r"exit code 0$", timeout=60)
        m.expect_exit(0)
        log = m.log()
        # Begun in one go, before the first is ready; named in the order of their places, whichever is ready first.
        assert 0 < log.index("sata@0000:00:1f.2: reset") < log.index("nvme:A: QEMU"), log
        assert re.findall(r"^(\S+:\S+)$", log, re.MULTILINE) == [
            "nvme:A", "nvme:SAME", "nvme:SAME@0000:00:0a.0", "nvme:B", "nvme:C", "sata:S0", "sata:S1", "sata:S2", "sata:S3", "sata:S4",
            "usb:STICK"], log


def test_usb_disk_comes_and_goes():
    with Machine(screen=True) as m:
        m.add_stick()
        disk = m.add_usb_storage(m.new_disk("usb", "64M"), "COMING")
        m.start()
        m.wait_for(r"^usb:COMING$", timeout=60)
        m.wait_for(r"^eidolon> ")
        m.unplug(disk)
        list_until(m, ["usb:STICK"])
        m.plug_in_again(disk, "usb-storage", "COMING")
        list_until(m, ["usb:STICK", "usb:COMING"])
