# SPDX-License-Identifier: GPL-2.0-or-later
"""What the caller chose, and the folders of this run."""

import dataclasses
import os

MIB = 1 << 20
GIB = 1 << 30
HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, "..", ".."))


@dataclasses.dataclass
class Settings:
    """`memory` and `scratch` are folders that vanish after the run: one in memory (huge pages where possible), one on disk."""

    parts: list[str]
    rounds: int
    size: int  # MiB of the NTFS and of the ext4 volume
    quick: bool  # less data, fewer rounds, fewer sizes: shows that all works, not how fast
    build: str  # where eidolon, eidolon.efi and eidolon-x64.img are
    memory: str = ""
    memory_kind: str = ""  # in words, for the report
    scratch: str = ""

    @property
    def eidolon(self):
        return os.path.join(self.build, "eidolon")

    @property
    def efi(self):
        return os.path.join(self.build, "eidolon.efi")

    @property
    def stick(self):
        return os.path.join(self.build, "eidolon-x64.img")
