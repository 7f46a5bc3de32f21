# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of the bench hand back, and how it becomes docs/performance.md, its chart and the raw samples."""

import dataclasses
import datetime
import json
import os
import platform
import re
import subprocess

MIB = 1 << 20


@dataclasses.dataclass
class Aim:
    """One figure that has to be reached. `value` None: it could not be measured, which counts as missed."""

    name: str
    value: float | None
    wanted: str  # "at most 1.1"
    met: bool

    @classmethod
    def at_most(cls, name, value, limit):
        return cls(name, value, "at most %g" % limit, value is not None and value <= limit)


@dataclasses.dataclass
class Table:
    """One table of the report. Cells are text or numbers; None is a cell without a value.

    `chart`: {label: number} for one horizontal bar each, or nothing. `samples`: anything that JSON can hold, kept beside the
    report as it is (every single measurement, not only the medians).
    """

    title: str
    explanation: str
    columns: list[str]
    rows: list[list]
    aims: list[Aim] = dataclasses.field(default_factory=list)
    chart: dict[str, float] = dataclasses.field(default_factory=dict)
    samples: object = None
