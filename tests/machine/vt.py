# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal of the PC ANSI kind that keeps what it shows: feed it the bytes of the serial line, ask for the text and the colours.

    terminal = vt.Terminal()
    terminal.feed(m.serial_bytes())
    assert "disks" in terminal.row(0) and terminal.colours(0, 1) == (vt.WHITE, vt.BLUE)

Rows and columns count from 0. Wide characters (encoding="utf-8") take two cells, the second is empty.
"""

import codecs
import re
import unicodedata

# In the order of the UEFI specification (2.10, section 12.4.3), as ui/screen/screen.h has them.
(BLACK, BLUE, GREEN, CYAN, RED, MAGENTA, BROWN, LIGHT_GRAY, DARK_GRAY, LIGHT_BLUE, LIGHT_GREEN, LIGHT_CYAN, LIGHT_RED, LIGHT_MAGENTA,
 YELLOW, WHITE) = range(16)
ANSI = [BLACK, RED, GREEN, BROWN, BLUE, MAGENTA, CYAN, LIGHT_GRAY]
# Pictures that code page 437 has in the place of control characters, as far as firmware sends them.
LOW = {0x10: "►", 0x11: "◄", 0x18: "↑", 0x19: "↓", 0x1a: "→", 0x1e: "▲", 0x1f: "▼"}
SEQUENCE = re.compile(rb"\x1b\[([0-9;?=]*)([@-~])")


class Terminal:
    def __init__(self, columns=80, rows=25, encoding="cp437"):
        self.columns, self.rows, self.encoding = columns, rows, encoding
        self.cursor = (0, 0)  # row, column
        self.cursor_shown = True
        self.scrolled = 0  # lines that have left at the top
        self._attributes = (LIGHT_GRAY, BLACK, False)
        self._wrap = False  # the last column was written: the next character begins a line
        self._rest = b""
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._cells = [self._blank_row() for _ in range(rows)]

    # -- what it shows ------------------------------------------------------------------------------------------------

    def row(self, row):
        """The text of a row, without blanks at the end."""
        return "".join(text for text, _ in self._cells[row]).rstrip()

    def text(self):
        return "\n".join(self.row(row) for row in range(self.rows))

    def character(self, row, column):
        return self._cells[row][column][0]

    def colours(self, row, column):
        """(foreground, background)"""
        foreground, background, bold = self._cells[row][column][1]
        return (foreground + 8 if bold else foreground), background

    # -- what it is told ----------------------------------------------------------------------------------------------

    def feed(self, data):
        data = self._rest + data
        self._rest = b""
        at = 0
        while at < len(data):
            if data[at] != 0x1b:
                self._byte(data[at])
                at += 1
                continue
            match = SEQUENCE.match(data, at)
            if match:
                self._sequence(match.group(1).decode(), match.group(2).decode())
                at = match.end()
            elif len(data) - at < 16 and re.fullmatch(rb"\x1b(\[[0-9;?=]*)?", data[at:]):
                self._rest = data[at:]
                return
            else:
                at += 2  # ESC and one character

    def _blank_row(self):
        return [(" ", self._attributes)] * self.columns

    def _line_feed(self):
        row, column = self.cursor
        if row + 1 < self.rows:
            self.cursor = row + 1, column
            return
        self._cells = self._cells[1:] + [self._blank_row()]
        self.scrolled += 1

    def _byte(self, byte):
        row, column = self.cursor
        if byte == 0x0d:
            self.cursor, self._wrap = (row, 0), False
        elif byte == 0x0a:
            self._wrap = False
            self._line_feed()
        elif byte == 0x08:
            self.cursor, self._wrap = (row, max(0, column - 1)), False
        elif byte < 0x20 and byte not in LOW:
            pass
        else:
            for letter in LOW.get(byte) or self._decoder.decode(bytes([byte])):
                self._print(letter)

    def _print(self, letter):
        width = 2 if unicodedata.east_asian_width(letter) in "WF" and self.encoding != "cp437" else 1
        if self._wrap or self.cursor[1] + width > self.columns:
            self.cursor, self._wrap = (self.cursor[0], 0), False
            self._line_feed()
        row, column = self.cursor
        self._cells[row][column] = (letter, self._attributes)
        if width == 2:
            self._cells[row][column + 1] = ("", self._attributes)
        self._wrap = column + width == self.columns
        self.cursor = row, min(column + width, self.columns - 1)

    def _sequence(self, parameters, final):
        numbers = [int(number or 0) for number in parameters.strip("?=").split(";")]
        row, column = self.cursor
        count = max(1, numbers[0])
        if final == "m":
            for number in numbers:
                self._attribute(number)
            return
        if final in "hl":
            if parameters == "?25":
                self.cursor_shown = final == "h"
            return
        self._wrap = False
        if final in "Hf":
            row, column = count - 1, max(1, (numbers + [1])[1]) - 1
        elif final in "ABCD":
            row += {"A": -count, "B": count}.get(final, 0)
            column += {"C": count, "D": -count}.get(final, 0)
        elif final == "J":
            first = 0 if numbers[0] == 2 else row + 1
            self._cells[first:] = [self._blank_row() for _ in range(first, self.rows)]
        if final == "K" or (final == "J" and numbers[0] == 0):
            self._cells[row][column:] = self._blank_row()[column:]
        self.cursor = min(max(row, 0), self.rows - 1), min(max(column, 0), self.columns - 1)

    def _attribute(self, number):
        foreground, background, bold = self._attributes
        if number == 0:
            foreground, background, bold = LIGHT_GRAY, BLACK, False
        elif number in (1, 22):
            bold = number == 1
        elif number == 7:
            foreground, background = background, foreground
        elif 30 <= number <= 37:
            foreground = ANSI[number - 30]
        elif 40 <= number <= 47:
            background = ANSI[number - 40]
        self._attributes = foreground, background, bold
