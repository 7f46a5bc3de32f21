# SPDX-License-Identifier: GPL-2.0-or-later
"""What a panel shows: reads the PNG of Machine.screendump() and finds cells and the font's pictures in it."""

import os
import struct
import zlib

import machine

FONT = os.path.join(machine.REPOSITORY, "build/sources/unifont/usr/share/unifont/unifont.hex")


def _paeth(left, up, corner):
    distances = [(abs(left + up - corner - value), order, value) for order, value in enumerate((left, up, corner))]
    return min(distances)[2]


def _unfilter(kind, line, above, size):
    """One line of a PNG (ISO/IEC 15948, section 9.2), in place."""
    if kind == 2:
        line[:] = bytes((a + b) & 255 for a, b in zip(line, above))
    elif kind:
        for at, value in enumerate(line):
            left = line[at - size] if at >= size else 0
            up, corner = above[at], above[at - size] if at >= size else 0
            line[at] = value + {1: left, 3: (left + up) // 2, 4: _paeth(left, up, corner) if kind == 4 else 0}[kind] & 255


class Picture:
    """Pixels are (red, green, blue)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        assert data[:8] == b"\x89PNG\r\n\x1a\n", path
        at, packed = 8, b""
        while at < len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            body = data[at + 8:at + 8 + length]
            if kind == b"IHDR":
                self.width, self.height, depth, colours, _, _, interlace = struct.unpack(">IIBBBBB", body)
                assert depth == 8 and colours in (2, 6) and not interlace, "a kind of PNG that is not read here"
                self.size = 3 if colours == 2 else 4
            elif kind == b"IDAT":
                packed += body
            at += 12 + length
        lines, stride = zlib.decompress(packed), self.width * self.size
        above = bytearray(stride)
        self.lines = []
        for y in range(self.height):
            start = y * (stride + 1)
            line = bytearray(lines[start + 1:start + 1 + stride])
            _unfilter(lines[start], line, above, self.size)
            self.lines.append(line)
            above = line

    def pixel(self, x, y):
        return tuple(self.lines[y][x * self.size:x * self.size + 3])

    def cell(self, row, column, width=1, scale=2, left=0, top=0):
        """The 16 rows of a cell's picture at a scale, as tuples of pixels; every pixel of the panel must agree."""
        rows = []
        for y in range(16):
            line = []
            for x in range(8 * width):
                corner = left + (8 * column + x) * scale, top + (16 * row + y) * scale
                pixels = {self.pixel(corner[0] + i, corner[1] + j) for i in range(scale) for j in range(scale)}
                assert len(pixels) == 1, "row %d, column %d: the cell's pixels are not %d wide" % (row, column, scale)
                line.append(pixels.pop())
            rows.append(tuple(line))
        return rows


def glyph(letter, foreground, background):
    """The font's picture of a character in two colours, as Picture.cell() has it."""
    with open(FONT) as file:
        for line in file:
            code, bitmap = line.strip().split(":")
            if int(code, 16) == ord(letter):
                width = len(bitmap) // 4
                rows = [int(bitmap[at:at + width // 4], 16) for at in range(0, len(bitmap), width // 4)]
                return [tuple(foreground if row >> (width - 1 - x) & 1 else background for x in range(width)) for row in rows]
    raise KeyError(letter)
