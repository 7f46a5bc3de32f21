# SPDX-License-Identifier: GPL-2.0-or-later
"""Keyboards by our own USB driver: no PS/2 keyboard in the machine, so every key that arrives has gone through it, our text input, and the
firmware's console."""

import os
import re
import time

import machine
from disks import filled_disk
from machine import Machine, sparse_file
from pc import MIB

TIMEOUT = 200
TAKEN = r"USB controller \S+ is taken from the firmware"
KEYBOARD = r"port (\S+): keyboard QEMU"


def start(m, keyboards):
    """At the prompt, with the controller in our hands and so many keyboards at work."""
    m.start()
    m.wait_for(r"^eidolon> ", timeout=60)
    type_line(m, "list io=native\n")
    m.wait_for(TAKEN, timeout=60)
    for _ in range(keyboards):
        m.wait_for(KEYBOARD)
    m.wait_for(r"exit code 0$")
    m.wait_for(r"^eidolon> ")


def type_line(m, line, source="log"):
    """Each letter when the one before has been echoed: on a slow computer a keyboard that is not asked forgets keys."""
    for letter in line:
        m.type_text(letter)
        if letter != "\n":
            m.wait_for(re.escape(letter), source=source)


def check_line(m, keys, expected):
    """keys: text, or names of keys in a list; what the prompt has shown of it. The line is thrown away with ESC."""
    start = len(m.log())
    if isinstance(keys, str):
        type_line(m, keys)
    else:
        for key in keys:
            m.send_key(key)
            time.sleep(0.15)
        m.wait_for(re.escape(expected) + "$")
    assert m.log()[start:] == expected, m.log()[start:]
    m.send_key("esc")
    m.wait_for(r"^eidolon> ")


def leave(m, code=0):
    type_line(m, "exit\n")
    m.expect_exit(code)
    assert "were not given back" not in m.log() and "does not let go" not in m.log(), m.log()


def test_all_keys_reach_the_prompt():
    with Machine(screen=True, ps2=False) as m:
        m.add_stick()
        m.add_usb_keyboard()
        start(m, 1)
        check_line(m, "The quick brown fox, 0123456789 -=[];'./\\ :#_*!@+?", "The quick brown fox, 0123456789 -=[];'./\\ :#_*!@+?")
        check_line(m, ["a", "b", "backspace", "c"], "ab\b \bc")
        check_line(m, ["caps_lock", "a", "shift-b", "1", "caps_lock", "c"], "Ab1c")
        check_line(m, ["num_lock", "kp_1", "kp_0", "kp_decimal", "num_lock", "kp_2", "kp_add"], "10.+")
        check_line(m, ["left", "f1", "home", "x"], "x")
        # Control-C leaves a line as ESC does.
        type_line(m, "abc")
        m.send_key("ctrl-c")
        m.wait_for(r"^eidolon> ")
        leave(m)


def test_key_held_down_repeats():
    with Machine(screen=True, ps2=False) as m:
        m.add_stick()
        m.add_usb_keyboard()
        start(m, 1)
        m.qmp("send-key", keys=[{"type": "qcode", "data": "x"}], hold_time=4000)
        m.wait_for("xxxxxxxxxx")
        time.sleep(4)  # until it is up
        m.send_key("esc")
        m.wait_for(r"^eidolon> ")
        check_line(m, "once more", "once more")
        leave(m)


def test_escape_cancels_a_capture():
    with Machine(screen=True, ps2=False) as m:
        m.add_stick(size=256)
        m.add_usb_keyboard()
        m.add_nvme(filled_disk(m, "source", 64 * MIB), "SOURCE", throttle={"bps_total": 4 * MIB})
        m.start()
        m.wait_for(r"^eidolon> ", timeout=60)
        type_line(m, "capture nvme: stick:\\a.eid\n")
        m.wait_for(TAKEN, timeout=60)
        m.wait_for(r"^copying", timeout=60)
        if "is driven by keyboard" not in m.log():  # the copying does not wait for it
            m.wait_for(r"is driven by keyboard")
        m.send_key("esc")
        m.wait_for(r"^error: cancelled")
        m.wait_for(r"exit code 7$")
        m.wait_for(r"^eidolon> ")
        leave(m, 7)


def test_keyboard_behind_hubs():
    with Machine(screen=True, ps2=False) as m:
        m.add_stick(port="1")
        for port in ("2", "2.1", "2.1.3"):
            m.add_usb_hub(port=port)
        m.add_usb_keyboard(port="2.1.3.2")
        start(m, 1)
        check_line(m, "behind three hubs", "behind three hubs")
        leave(m)


def test_full_speed_keyboard_on_another_controller():
    with Machine(screen=True, ps2=False) as m:
        m.add_xhci("nec-usb-xhci")
        m.add_stick()
        m.add_usb_keyboard(usb_version=1)
        start(m, 1)
        assert "keyboard QEMU" in m.log() and "USB Keyboard, 12 Mbit/s" in m.log(), m.log()
        check_line(m, "full speed", "full speed")
        leave(m)


def test_keyboards_come_and_go():
    """Two of them; then each of them alone; then one that was plugged in anew, while a command runs."""
    with Machine(screen=True, ps2=False) as m:
        m.add_xhci(p2=8, p3=8)
        m.add_stick()
        first, second = m.add_usb_keyboard(), m.add_usb_keyboard()
        start(m, 2)
        check_line(m, "both", "both")
        m.unplug(first)
        check_line(m, "second", "second")
        m.qmp("device_add", driver="usb-kbd", id="third", bus="xhci.0")
        m.wait_for(KEYBOARD)
        m.unplug(second)
        check_line(m, "third", "third")
        m.unplug("third")
        m.qmp("device_add", driver="usb-kbd", id="fourth", bus="xhci.0")
        m.wait_for(KEYBOARD)
        type_line(m, "list usb:\n")
        m.wait_for(r"^usb:STICK")
        m.wait_for(r"^eidolon> ")
        leave(m)


def without_serial_line(m):
    """Nobody can type but on USB."""
    at = m.arguments.index("-serial")
    m.arguments[at + 1] = "none"


def test_the_only_keyboard():
    with Machine(screen=True, ps2=False) as m:
        without_serial_line(m)
        m.add_stick()
        m.add_usb_keyboard()
        start(m, 1)
        assert re.search(TAKEN + ", with the only keyboard", m.log()), m.log()
        check_line(m, "the only one", "the only one")
        leave(m)


def test_a_controller_goes_back_with_the_only_keyboard():
    """The keyboard is pulled while its controller changes hands, so there is none; plugged in again, it is the firmware's."""
    with Machine(screen=True, ps2=False) as m:
        without_serial_line(m)
        m.add_stick()
        keyboard = m.add_usb_keyboard()
        m.start()
        m.wait_for(r"^eidolon> ", timeout=60)
        type_line(m, "list io=native\n")
        m.wait_for(TAKEN + ", with the only keyboard", timeout=60)
        m.unplug(keyboard)
        m.wait_for(r"goes back to the firmware: no keyboard on it answers", timeout=60)
        m.wait_for(r"exit code 0$", timeout=60)
        m.wait_for(r"^eidolon> ")
        m.qmp("device_add", driver="usb-kbd", id="another", bus="xhci.0")
        for _ in range(20):  # until the firmware has found it
            m.type_text("x", pause=0.3)
            if m.log().endswith("x"):
                break
        m.send_key("esc")
        m.wait_for(r"^eidolon> $")
        type_line(m, "list\n")
        m.wait_for(r"^usb:STICK$(.*\n)*?.*driver firmware(.*\n)*?.*exit code 0$")
        m.wait_for(r"^eidolon> ")
        leave(m)


def test_the_firmware_has_its_keyboard_back():
    """From the firmware's shell, which is typed to before and after."""
    script = "@echo -off\nfs0:\\TOOLS\\EIDOLON.EFI\necho BACK\n"
    with Machine(screen=True, ps2=False, exit_port=False) as m:
        with open(os.path.join(machine.BUILD, "eidolon.efi"), "rb") as file:
            application = file.read()
        empty = sparse_file(os.path.join(m.disks, "empty.efi"), 0)
        m.add_stick(application=empty, files={"startup.nsh": script.replace("\n", "\r\n"), "TOOLS/EIDOLON.EFI": application})
        m.add_usb_keyboard()
        start(m, 1)
        check_line(m, "ours", "ours")
        type_line(m, "exit\n")
        m.wait_for(r"BACK", source="serial", timeout=60)
        assert "were not given back" not in m.log() and "does not let go" not in m.log(), m.log()
        m.wait_for(r">\s*$", source="serial")
        type_line(m, "reset -s\n", source="serial")
        m.expect_exit(None, timeout=60)
