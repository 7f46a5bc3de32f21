# SPDX-License-Identifier: GPL-2.0-or-later
"""USB by our own drivers: controllers are taken when a command needs a disk on them, everything that is plugged in goes on working, and all of
it goes back to the firmware. Each kind of disk obeys the rules of block devices."""

import os
import re

import machine
from disks import Partitions, check_image, copy_out, filled_disk, sha256
from machine import Machine, sparse_file
from pc import MIB
from test_drivers import check_conformance

TIMEOUT = 240
SIZE = 32 * MIB
FOUR = {"logical_block_size": 4096, "physical_block_size": 4096}
TAKEN = r"USB controller \S+ is taken from the firmware"


def typed(m, line, code=0, timeout=90):
    """Types a command at the prompt and returns what it said."""
    m.wait_for(r"^eidolon> ", timeout=60)
    start = len(m.log())
    m.type_text(line + "\n", pause=0.06)
    m.wait_for(r"exit code \d+$", timeout=timeout)
    said = m.log()[start:]
    assert "exit code %d\n" % code in said, said
    return said


def leave(m):
    m.wait_for(r"^eidolon> ")
    m.type_text("exit\n")
    m.expect_exit(0)


# -- every kind of disk ----------------------------------------------------------------------------------------------------


def check_kinds(controller, uas_ports):
    names = "usb:STORAGE usb:BOT4K usb:UAS usb:UAS4K"
    with Machine(command="conformance %s --yes" % names) as m:
        paths = [filled_disk(m, name, SIZE) for name in ("storage", "bot4k", "uas", "uas4k")]
        before = [sha256(path) for path in paths]
        # The first four ports take devices of all speeds, the others none above high speed.
        m.add_xhci(controller, p2=8, p3=4)
        m.add_stick(port="1")
        m.add_usb_storage(paths[0], "STORAGE", port="2")
        m.add_usb_storage(paths[1], "BOT4K", port="6", **FOUR)
        m.add_uas(paths[2], "UAS", port=uas_ports[0])
        m.add_uas(paths[3], "UAS4K", port=uas_ports[1], **FOUR)
        m.start()
        check_conformance(m, {"usb:STORAGE": ("usb", 512), "usb:BOT4K": ("usb", 4096), "usb:UAS": ("uas", 512),
                              "usb:UAS4K": ("uas", 4096)})
        for path, was in zip(paths, before):
            check_changed(path, was)
        check_log_is_saved(m)


def check_changed(path, before):
    assert sha256(path) != before, path + " was not written to"
    assert os.path.getsize(path) == SIZE, path


def check_log_is_saved(m):
    """On the stick, which our driver has served, with the end in it."""
    saved = m.read_stick_file("EIDOLON/LOG.TXT").decode()
    assert re.search(TAKEN, saved) and "exit code 0" in saved, saved
    assert "were not given back" not in m.log(), m.log()


def test_every_kind_of_disk():
    check_kinds("qemu-xhci", ("3", "7"))


def test_every_kind_of_disk_on_another_controller():
    """It has no streams: UAS at high speed."""
    check_kinds("nec-usb-xhci", ("5", "7"))


def test_two_units_of_one_disk():
    """Plugged in when the controller is ours: OVMF hangs at the sight of it."""
    with Machine(screen=True) as m:
        paths = [filled_disk(m, name, 8 * MIB) for name in ("two-0", "two-1")]
        before = [sha256(path) for path in paths]
        m.add_xhci(p2=8, p3=8)
        m.add_stick()
        nodes = [m._block("two-%d" % lun, path) for lun, path in enumerate(paths)]
        m.start()
        typed(m, "list io=native")
        m.qmp("device_add", driver="usb-bot", id="two", bus="xhci.0", serial="TWO", attached=False)
        for lun, node in enumerate(nodes):
            m.qmp("device_add", driver="scsi-hd", id="two-disk-%d" % lun, bus="two.0", scsi_id=0, lun=lun, drive=node, serial="TWO")
        m.qmp("qom-set", path="/machine/peripheral/two", property="attached", value=True)
        m.wait_for(r"usb:TWO/lun1: ", timeout=30)
        # The prompt has been there since before the disk came.
        m.type_text("conformance usb:TWO usb:TWO/lun1 --yes\n")
        m.wait_for(r"exit code 0$", timeout=60)
        said = m.log()
        assert said.count(": ok (driver usb, blocks of 512 bytes, written") == 2, said
        # OVMF shall not see it at the end either.
        m.wait_for(r"^eidolon> ")
        m.qmp("device_del", id="two")
        m.wait_for(r"disk usb:TWO/lun1 is gone", timeout=20)
        m.type_text("exit\n")
        m.expect_exit(0)
        for path, was in zip(paths, before):
            assert sha256(path) != was, path


def test_disks_behind_hubs_three_deep():
    with Machine(command="conformance usb:DEEP usb:NEAR --yes") as m:
        paths = [filled_disk(m, name, 8 * MIB) for name in ("deep", "near")]
        before = [sha256(path) for path in paths]
        m.add_stick(port="1")
        for port in ("2", "2.1", "2.1.1"):
            m.add_usb_hub(port=port)
        m.add_usb_storage(paths[0], "DEEP", port="2.1.1.1")
        m.add_usb_storage(paths[1], "NEAR", port="2.2")
        m.start()
        check_conformance(m, {"usb:DEEP": ("usb", 512), "usb:NEAR": ("usb", 512)})
        for path, was in zip(paths, before):
            assert sha256(path) != was, path


# -- who has the controller ------------------------------------------------------------------------------------------------


def test_only_the_controllers_that_are_needed():
    with Machine(command="capture nvme:SOURCE IMAGES:/a.eid") as m:
        source = filled_disk(m, "source", 8 * MIB)
        home = Partitions(m, "home", 64).format(1, "ext4", "IMAGES")
        m.add_xhci()
        second = m.add_xhci()
        m.add_stick()
        m.add_usb_storage(home.path, "HOME", bus=second + ".0")
        m.add_nvme(source, "SOURCE")
        m.start()
        m.expect_exit(0, timeout=120)
        taken = re.findall(TAKEN, m.log())
        assert len(taken) == 1, m.log()
        assert re.search(r"disk usb:HOME: .* driver usb$", m.log(), re.MULTILINE), m.log()
        assert not re.search(r"disk usb:STICK: .* driver usb", m.log()), m.log()
        check_image(copy_out(home.extract(1), "ext4", "a.eid", os.path.join(m.disks, "a.eid")), source)


def test_a_list_takes_nothing():
    with Machine(command="list") as m:
        m.add_stick()
        m.add_usb_storage(m.new_disk("usb", "64M"), "OTHER")
        m.start()
        m.wait_for(r"^usb:OTHER$", timeout=60)
        m.expect_exit(0)
        assert not re.search(TAKEN, m.log()), m.log()


def test_native_takes_all_of_them_and_names_stay():
    names = {}
    for words in ("io=firmware", "io=native"):
        with Machine(command="list " + words) as m:
            m.add_xhci(p2=8, p3=8)
            m.add_stick()
            second = m.add_xhci()
            m.add_usb_storage(m.new_disk("a", "64M"), "BLANK IN#IT")
            m.add_usb_storage(m.new_disk("b", "64M"), "FOUR", **FOUR)
            m.add_usb_storage(m.new_disk("d", "64M"), None, bus=second + ".0")
            m.start()
            m.expect_exit(0, timeout=90)
            names[words] = sorted(re.findall(r"^(usb:\S+)$", m.log(), re.MULTILINE))
            assert len(re.findall(TAKEN, m.log())) == (2 if words == "io=native" else 0), m.log()
    assert names["io=firmware"] == names["io=native"] and len(names["io=native"]) == 4, names


def test_firmware_keeps_all_of_them_when_told_so():
    with Machine(command="capture usb:SOURCE stick:/a.eid io=firmware") as m:
        source = filled_disk(m, "source", 8 * MIB)
        m.add_stick(size=128)
        m.add_usb_storage(source, "SOURCE")
        m.start()
        m.expect_exit(0, timeout=90)
        assert not re.search(TAKEN, m.log()), m.log()


def test_the_stick_holds_image_job_and_log():
    job = "capture nvme:SOURCE stick:\\deep\\a.eid\nverify stick:\\deep\\a.eid nvme:SOURCE\nthen poweroff\n"
    with Machine() as m:
        source = filled_disk(m, "source", 24 * MIB)
        m.add_stick(size=128, files={"EIDOLON/JOB.TXT": job})
        m.add_nvme(source, "SOURCE")
        m.start()
        m.expect_exit(None, timeout=120)
        assert re.search(TAKEN, m.log()), m.log()
        saved = m.read_stick_file("EIDOLON/LOG.TXT").decode()
        assert "job file ended, exit code 0" in saved, saved
        image = os.path.join(m.disks, "a.eid")
        with open(image, "wb") as file:
            file.write(m.read_stick_file("deep/a.eid"))
        check_image(image, source)


def check_volume_on_usb(kind):
    with Machine(command="capture nvme:SOURCE HOME:/a.eid") as m:
        source = filled_disk(m, "source", 24 * MIB)
        home = Partitions(m, "home", 96).format(1, kind, "HOME")
        m.add_stick()
        m.add_usb_storage(home.path, "DISK")
        m.add_nvme(source, "SOURCE")
        m.start()
        m.expect_exit(0, timeout=120)
        assert re.search(TAKEN, m.log()) and "Verified: read back" in m.log(), m.log()
        check_image(copy_out(home.extract(1), kind, "a.eid", os.path.join(m.disks, "a.eid")), source)


def test_image_on_fat_of_a_usb_disk():
    check_volume_on_usb("vfat")


def test_image_on_ntfs_of_a_usb_disk():
    check_volume_on_usb("ntfs")


def test_two_sticks_of_one_serial_number():
    """Whoever drives them and whichever comes first, each keeps its name, and the one that was booted from is known."""
    with Machine(screen=True) as m:
        m.add_xhci(p2=8, p3=8)
        m.add_usb_storage(m.new_disk("twin", "64M"), "STICK", port="2")
        m.add_stick(port="1")
        m.add_nvme(filled_disk(m, "source", 24 * MIB), "SOURCE")
        m.start()
        said = typed(m, "list")
        names = sorted(set(re.findall(r"^(usb:STICK@\S+)$", said, re.MULTILINE)))
        assert len(names) == 2, said
        stick, twin = names  # of port 1 and 2
        assert "usb:STICK@" in typed(m, "clone nvme:SOURCE usb:STICK --yes", code=2)
        for _ in range(2):  # the first command takes the controller over, the second finds it taken
            assert "is the stick that Eidolon runs from" in typed(m, "clone nvme:SOURCE %s --dry-run" % stick, code=3)
            assert "is the stick that Eidolon runs from" not in typed(m, "clone nvme:SOURCE %s --dry-run" % twin)
        assert re.search(TAKEN, m.log())
        said = typed(m, "list")
        assert sorted(set(re.findall(r"^(usb:STICK@\S+)$", said, re.MULTILINE))) == names, said
        leave(m)
        check_log_is_saved(m)


# -- a person with a keyboard on the same controller -----------------------------------------------------------------------


def test_capture_started_by_keys_beside_stick_and_disk():
    """No PS/2: the only keyboard, the stick and the target's disk are on one controller. The commands before and after it changes hands are
    typed on the same keyboard."""
    with Machine(screen=True, ps2=False, processors=2) as m:
        source = filled_disk(m, "source", 24 * MIB)
        home = Partitions(m, "home", 96).format(1, "ext4", "HOME")
        m.add_xhci(p2=8, p3=8)
        m.add_stick()
        m.add_usb_keyboard()
        m.add_uas(home.path, "DISK")
        m.add_nvme(source, "SOURCE")
        m.start()
        said = typed(m, "list nvme:")
        assert "nvme:SOURCE" in said
        said = typed(m, "capture nvme: HOME:/a.eid")
        assert re.search(TAKEN, said) and "Verified: read back" in said, said
        said = typed(m, "verify HOME:/a.eid nvme:")
        assert "Everything matched." in said, said
        leave(m)
        check_log_is_saved(m)
        check_image(copy_out(home.extract(1), "ext4", "a.eid", os.path.join(m.disks, "a.eid")), source)


def test_disks_come_and_go_on_a_controller_of_ours():
    with Machine(screen=True) as m:
        m.add_xhci(p2=8, p3=8)
        m.add_stick()
        coming = m.add_usb_storage(m.new_disk("usb", "64M"), "COMING")
        uas = m.add_uas(m.new_disk("uas", "64M"), "UAS")
        m.start()
        said = typed(m, "list io=native")
        assert "usb:COMING\n" in said and "usb:UAS\n" in said and "usb:STICK\n" in said, said
        m.wait_for(r"^eidolon> ")
        for device, driver, name in ((coming, "usb-storage", "COMING"), (uas, "usb-uas", "UAS")):
            m.unplug(device)
            expect_list(m, name, False)
            m.plug_in_again(device, driver, name)
            expect_list(m, name, True)
        m.type_text("exit\n")
        m.expect_exit(0)


def expect_list(m, name, there, patience=10):
    for _ in range(patience):
        start = len(m.log())
        m.type_text("list\n")
        m.wait_for(r"exit code 0")
        m.wait_for(r"^eidolon> ")
        if ("usb:%s\n" % name in m.log()[start:]) == there:
            return
    m.fail("the list never %s %s" % ("has" if there else "loses", name))


def test_the_firmware_finds_everything_again():
    """From the firmware's shell: a job takes the controller; afterwards stick and disks are the firmware's, and the program runs again."""
    script = ("@echo -off\nfs0:\nconnect -r\nmap -r\necho BEFORE\nmap\nfs0:\\TOOLS\\EIDOLON.EFI verify stick:\\none.eid usb:OTHER\n"
              "connect -r\nmap -r\nmap\nFS0:\\TOOLS\\EIDOLON.EFI conformance usb:OTHER\nif %lasterror% == 0 then\necho CODE-ZERO\nendif\nreset -s\n")
    with Machine(exit_port=False) as m:
        with open(os.path.join(machine.BUILD, "eidolon.efi"), "rb") as file:
            application = file.read()
        empty = sparse_file(os.path.join(m.disks, "empty.efi"), 0)
        m.add_stick(application=empty, files={"startup.nsh": script.replace("\n", "\r\n"), "TOOLS/EIDOLON.EFI": application})
        m.add_usb_storage(m.new_disk("other", "64M"), "OTHER")
        m.start()
        m.wait_for(r"CODE-ZERO", source="serial", timeout=120)
        m.expect_exit(None, timeout=60)
        assert m.serial().split("BEFORE")[1].count("USB(0x") >= 4, m.serial()
        assert len(re.findall(TAKEN, m.log())) == 2, m.log()
        assert "were not given back" not in m.log(), m.log()


def test_a_controller_goes_back_when_its_disk_does_not_come():
    """The disk is pulled while the controller changes hands."""
    with Machine(screen=True) as m:
        m.add_stick(size=128)
        disk = m.add_usb_storage(filled_disk(m, "source", 8 * MIB), "SOURCE")
        m.start()
        m.wait_for(r"^eidolon> ", timeout=60)
        m.type_text("capture usb:SOURCE stick:/a.eid\n")
        m.wait_for(TAKEN)
        m.unplug(disk)
        m.wait_for(r"USB controller \S+ goes back to the firmware: a disk on it does not answer", timeout=60)
        m.wait_for(r"exit code 2$", timeout=60)
        # The stick is the firmware's again, and the controller is not tried a second time.
        said = typed(m, "list")
        assert "usb:STICK\n" in said and "driver firmware" in said, said
        leave(m)
        assert len(re.findall(TAKEN, m.log())) == 1, m.log()
        saved = m.read_stick_file("EIDOLON/LOG.TXT").decode()
        assert "goes back to the firmware" in saved, saved
