# SPDX-License-Identifier: GPL-2.0-or-later
"""The faces of the screen on the bare machine: what screen-test shows on the panel and on the serial line, and the keys from both."""

import re
import time

import vt
from machine import Machine
from picture import Picture, glyph

TIMEOUT = 200
TEXT_COLOURS = (0xd0, 0xd5, 0xda), (0x10, 0x14, 0x1a)
BAR_COLOURS = (0xff, 0xff, 0xff), (0x18, 0x3a, 0x66)
SELECTED_COLOURS = (0x10, 0x14, 0x1a), (0x4c, 0xb8, 0xc8)
DIM_COLOURS = (0x97, 0xa1, 0xac), (0x10, 0x14, 0x1a)
# Row, column, text, its colours on the panel; columns of wide characters count twice.
SHOWN = [
    (0, 1, "Eidolon", BAR_COLOURS),
    (4, 54, "selected", SELECTED_COLOURS),
    (1, 0, "┌──", DIM_COLOURS),
    (11, 3, "░░▒▒▓▓██", TEXT_COLOURS),
    (13, 11, "━╋━┫", TEXT_COLOURS),
    (16, 3, "Choose the disk", TEXT_COLOURS),
    (17, 3, "选择要备份的磁盘", TEXT_COLOURS),
    (18, 3, "백업할", TEXT_COLOURS),
    (19, 3, "Выберите", TEXT_COLOURS),
]


def check_panel(path, scale=2, left=0, top=0):
    picture = Picture(path)
    for row, column, text, colours in SHOWN:
        for letter in text:
            expected = glyph(letter, *colours)
            width = len(expected[0]) // 8
            assert picture.cell(row, column, width, scale, left, top) == expected, "row %d, column %d: not %s" % (row, column, letter)
            column += width
    return picture


def terminal_of(m, wanted, timeout=20):
    """The terminal at the serial line as soon as its text has the pattern `wanted`."""
    end = time.monotonic() + timeout
    while True:
        terminal = vt.Terminal()
        terminal.feed(m.serial_bytes())
        if re.search(wanted, terminal.text(), re.MULTILINE):
            return terminal
        if time.monotonic() > end:
            m.fail("the terminal does not show /%s/ but\n%s" % (wanted, terminal.text()))
        time.sleep(0.1)


def check_terminal(terminal, faces):
    assert re.fullmatch(r" Eidolon: what the screen shows +80 x 25, faces: %d" % faces, terminal.row(0)), terminal.row(0)
    assert terminal.row(1) == "┌" + "─" * 78 + "┐", terminal.row(1)
    assert terminal.row(23) == "└" + "─" * 78 + "┘", terminal.row(23)
    assert terminal.row(24) == " ESC ends", terminal.row(24)
    assert terminal.row(16).startswith("│  Choose the disk, then the place for its image. 0123456789 {}[]()<>|\\/@#$%&"), terminal.row(16)
    assert terminal.row(12).startswith("│  ┌─┬─┐  "), terminal.row(12)
    # What a PC ANSI terminal lacks, in signs that it has, cell for cell; what stands to the right of it is in its place.
    assert "░░++%%██" in terminal.row(11), terminal.row(11)
    assert terminal.row(17) == "│  " + "??" * 21 + " " * 34 + "│", terminal.row(17)
    assert terminal.row(19).startswith("│  ???????? ????, ? ?????"), terminal.row(19)
    assert terminal.colours(0, 1) == (vt.WHITE, vt.BLUE)
    assert terminal.colours(24, 1) == (vt.YELLOW, vt.BLUE) and terminal.colours(24, 78)[1] == vt.BLUE
    assert terminal.colours(4, 54) == (vt.BLACK, vt.CYAN)
    assert terminal.colours(6, 29) == (vt.WHITE, vt.RED)
    assert not terminal.scrolled or terminal.row(0).startswith(" Eidolon"), "it was moved up"


def press(m, key, name, by_line=False):
    if by_line:
        m.type_serial(key)
    else:
        m.send_key(key)
    m.wait_for(r"screen-test: key %s$" % re.escape(name))


def start(m):
    m.add_stick()
    m.start()
    m.wait_for(r"^eidolon> ", timeout=60)
    m.type_serial("screen-test\r")
    return int(m.wait_for(r"screen-test: drawn, faces: (\d+)").group(1))


def check_prompt(m):
    """Text again, on an empty console."""
    m.wait_for(r"^screen-test: face 1 has (.*\n)*?.*exit code 0$")
    m.wait_for(r"^eidolon> ")
    terminal = terminal_of(m, r"^eidolon>$")
    assert terminal.row(0).startswith("screen-test: face 1"), terminal.text()
    assert terminal.colours(0, 0) == (vt.LIGHT_GRAY, vt.BLACK)
    m.type_serial("exit\r")
    m.expect_exit(0)
    assert "were not given back" not in m.log(), m.log()


def test_panel_and_terminal():
    with Machine(screen=True, terminal=True) as m:
        assert start(m) == 2
        check_terminal(terminal_of(m, r"Keys:"), 2)
        picture = check_panel(m.screendump("drawn.png"))
        assert (picture.width, picture.height) == (1280, 800)
        # Keys of the keyboard, and of the line: those that the firmware knows and those that it does not.
        for key, name in (("a", "a"), ("shift-b", "B"), ("tab", "Tab"), ("shift-tab", "Shift+Tab"), ("ret", "Enter"), ("backspace", "Backspace"),
                          ("delete", "Delete"), ("up", "Up"), ("left", "Left"), ("home", "Home"), ("pgdn", "PageDown"), ("f1", "F1"),
                          ("f5", "F5"), ("f10", "F10"), ("ctrl-c", "Ctrl+C"), ("z", "z")):
            # The last one comes when Ctrl is up again: the firmware's console counts it for keys of the line as well.
            press(m, key, name)
        for key, name in (("x", "x"), ("\r", "Enter"), ("\x1b[B", "Down"), ("\x1b[Z", "Shift+Tab"), ("\x1bOP", "F1"), ("\x1b[12~", "F2"),
                          ("\x1b[21~", "F10"), ("\x1b[6~", "PageDown"), ("\x1b[3~", "Delete"), ("\x03", "Ctrl+C"), ("\x1b[20~y", "y")):
            press(m, key, name, by_line=True)
        assert "key ESC" not in m.log(), m.log()
        terminal = terminal_of(m, r"Ctrl\+C y ")
        row, column = 22, terminal.row(22).index("Ctrl+C y")
        assert terminal.colours(row, column) == (vt.CYAN, vt.BLACK)
        picture = Picture(m.screendump("keys.png"))
        assert picture.cell(row, column) == glyph("C", (0x4c, 0xb8, 0xc8), (0x10, 0x14, 0x1a))
        # Where the next one will stand.
        assert picture.cell(row, column + 9) == glyph(" ", None, (0xd0, 0xd5, 0xda))
        press(m, "\x1b", "ESC", by_line=True)
        check_prompt(m)


def test_terminal_alone():
    with Machine(terminal=True) as m:
        assert start(m) == 1
        check_terminal(terminal_of(m, r"Keys:"), 1)
        press(m, "esc", "ESC")
        check_prompt(m)
