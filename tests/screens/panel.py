# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what a panel shows, in any language: cells are looked up in the font. Writes pictures of few colours as small PNG files."""

import os
import re
import struct
import zlib

import machine

FONT = os.path.join(machine.REPOSITORY, "build/sources/unifont/usr/share/unifont/unifont.hex")
CATALOGUE = os.path.join(machine.REPOSITORY, "ui/catalogue")
FONT_WIDTH, FONT_HEIGHT = 8, 16
WIDE = re.compile("[\u3000-\u9fff\uac00-\ud7a3\uff00-\uffef]")  # two halves of others may look like one of the rest
UNKNOWN = "\ufffd"


# --- letters -------------------------------------------------------------------------------------------------------------

class Font:
    """Bitmaps as integers, the upper left pixel in the highest bit. Letters of one look (A, А, Α) are one letter here."""

    def __init__(self):
        self.letters, self.looks = {}, {}
        with open(FONT) as file:
            for line in file:
                code, bitmap = line.strip().split(":")
                look = len(bitmap) // 32, int(bitmap, 16)
                if look[1] and (look[0] == 1 or WIDE.match(chr(int(code, 16)))):
                    self.letters.setdefault(look, chr(int(code, 16)))
                    self.looks[chr(int(code, 16))] = look

    def plain(self, text):
        """Text as read() gives it, without blanks: paragraphs are broken anywhere."""
        return "".join(self.letters.get(self.looks.get(letter), letter) for letter in text if not letter.isspace())


def _bits(cell, background):
    bits = 0
    for at in range(0, len(cell), 3):
        bits = bits << 1 | (cell[at:at + 3] != background)
    return bits


class Panel:
    """One dump of a screen (PPM): lines of RGB bytes."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        match = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
        self.width, self.height = int(match.group(1)), int(match.group(2))
        stride = 3 * self.width
        self.lines = [data[at:at + stride] for at in range(match.end(), match.end() + self.height * stride, stride)]

    def scaled_down(self, by):
        """Every `by`th pixel of every `by`th line: exact, where the font was drawn `by` times as wide and high."""
        small = Panel.__new__(Panel)
        small.width, small.height = self.width // by, self.height // by
        small.lines = [b"".join(line[3 * x:3 * x + 3] for x in range(0, small.width * by, by)) for line in self.lines[:small.height * by:by]]
        return small

    def read(self, font, scale, columns, rows, cache):
        """The text, a line for each row of cells. cache: {} to begin with, kept between calls."""
        left = (self.width - columns * FONT_WIDTH * scale) // 2
        top = (self.height - rows * FONT_HEIGHT * scale) // 2
        step, text = FONT_WIDTH * scale * 3, []
        for row in range(rows):
            first = top + row * FONT_HEIGHT * scale
            # The whole row of cells is known from the last time, as a rule.
            lines = tuple(self.lines[first:first + FONT_HEIGHT * scale:scale])
            if lines not in cache:
                cache[lines] = self._read_row(font, [line[3 * left:3 * left + columns * step] for line in lines], scale, columns, cache)
            text.append(cache[lines])
        return "\n".join(text)

    def _read_row(self, font, lines, scale, columns, cache):
        if scale > 1:
            lines = [b"".join(line[at:at + 3] for at in range(0, len(line), 3 * scale)) for line in lines]
        step, column, text = 3 * FONT_WIDTH, 0, ""
        while column < columns:
            for width in (2, 1):
                cell = b"".join(line[column * step:(column + width) * step] for line in lines)
                if cell not in cache:
                    cache[cell] = self._look_up(font, width, cell)
                if cache[cell]:
                    break
            text += cache[cell] or UNKNOWN
            column += width
        return text.rstrip()

    @staticmethod
    def _look_up(font, width, cell):
        """'' for none. Two colours at the most, either of them may be the background."""
        colours = {cell[at:at + 3] for at in range(0, len(cell), 3)}
        if len(colours) == 1 and width == 1:
            return " "
        if len(colours) != 2:
            return ""
        for background in (cell[:3], *(colour for colour in colours if colour != cell[:3])):
            letter = font.letters.get((width, _bits(cell, background)))
            if letter:
                return letter
        return ""


# --- texts ---------------------------------------------------------------------------------------------------------------

def _strings(text):
    """What adjacent string literals of C are together."""
    joined = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text))
    return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match.group(1), match.group(1)), joined)


def catalogue(language):
    """{ID without TEXT_: text} of "english", "chinese", ..."""
    literals = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
    with open(os.path.join(CATALOGUE, "texts.h"), encoding="utf-8") as file:
        texts = {name: _strings(text) for name, text in re.findall(r"^TEXT\((\w+),\s*\d+,\s*" + literals, file.read(), re.MULTILINE)}
    if language != "english":
        with open(os.path.join(CATALOGUE, "language_%s.c" % language), encoding="utf-8") as file:
            texts.update({name: _strings(text) for name, text in re.findall(r"\[TEXT_(\w+)\]\s*=\s*" + literals, file.read())})
    return texts


def languages():
    """In the order in which the screens offer them."""
    with open(os.path.join(CATALOGUE, "languages.h"), encoding="utf-8") as file:
        return re.findall(r"^LANGUAGE\((\w+)\)", file.read(), re.MULTILINE)


# --- pictures ------------------------------------------------------------------------------------------------------------

def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, lines, width):
    """Lines of RGB bytes of at most 256 colours, as a PNG with a palette (ISO/IEC 15948)."""
    palette, packed, known = {}, [], {}
    for line in lines:
        if line not in known:
            known[line] = bytes(palette.setdefault(line[at:at + 3], len(palette)) for at in range(0, 3 * width, 3))
        packed.append(known[line])
    depth = 4 if len(palette) <= 16 else 8
    if depth == 4:
        packed = [bytes(a << 4 | b for a, b in zip(line[::2], line[1::2] + b"\0" * (width % 2))) for line in packed]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(packed), depth, 3, 0, 0, 0)) +
                   _chunk(b"PLTE", b"".join(palette)) + _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in packed), 9)) +
                   _chunk(b"IEND", b""))


def write_sheet(path, panels, columns=3, gap=8):
    """All pictures in one, side by side."""
    width, height = panels[0].width, panels[0].height
    ground = b"\x80\x80\x80"
    lines = []
    for first in range(0, len(panels), columns):
        row = panels[first:first + columns]
        rest = columns - len(row)
        for y in range(height):
            lines.append((ground * gap).join([panel.lines[y] for panel in row] + [ground * width] * rest))
        lines += [ground * (columns * width + (columns - 1) * gap)] * gap
    write_png(path, lines, columns * width + (columns - 1) * gap)
