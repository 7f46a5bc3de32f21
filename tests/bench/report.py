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


# ---------------------------------------------------------------- Markdown


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "%.0f" % value if abs(value) >= 100 else "%.1f" % value if abs(value) >= 20 else "%.2f" % value
    return str(value).replace("|", "\\|")


def _line(cells):
    return "| " + " | ".join(cells) + " |"


def markdown(table):
    lines = ["### " + table.title, "", table.explanation, ""] if table.explanation else ["### " + table.title, ""]
    lines += [_line(table.columns), _line(["---"] + ["---:"] * (len(table.columns) - 1))]
    lines += [_line([_cell(value) for value in row]) for row in table.rows]
    if table.aims:
        lines += ["", _line(["aim", "wanted", "measured", ""]), _line(["---", "---", "---:", "---"])]
        for aim in table.aims:
            value = "not measured" if aim.value is None else "%.3g" % aim.value
            lines.append(_line([aim.name, aim.wanted, value, "met" if aim.met else "**missed**"]))
    return "\n".join(lines) + "\n"


def machine():
    """The machine in one sentence."""
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s*(\d+)", file.read()).group(1))
    return "%s, %d processors, %.0f GiB of memory, Linux %s" % (
        model.group(1).strip() if model else platform.machine(), os.cpu_count(), memory / (1 << 20), platform.release())


def _measured(settings, tables, notes):
    version = subprocess.run([settings.eidolon, "version"], capture_output=True, text=True).stdout.strip()
    aims = [aim for table in tables for aim in table.aims]
    lines = ["Measured on %s: %s; %s. Rounds: %d; the volumes have %d MiB. %d of %d aims met." % (
        datetime.date.today().isoformat(), machine(), version, settings.rounds, settings.size, sum(aim.met for aim in aims), len(aims)), ""]
    lines += ["- " + note for note in notes] + [""]
    return "\n".join(lines) + "\n" + "\n".join(markdown(table) for table in tables)


# ---------------------------------------------------------------- the document and its chart

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write_document(path, text):
    """Replaces what is between the two markers; all else is written by hand and stays."""
    try:
        with open(path) as file:
            old = file.read()
    except FileNotFoundError:
        old = "# Performance\n\n%s\n%s\n" % (BEGIN, END)
    if BEGIN not in old or END not in old:
        raise SystemExit("%s has lost its markers %s and %s" % (path, BEGIN, END))
    head, rest = old.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    with open(path + ".new", "w") as file:
        file.write(head + BEGIN + "\n" + text.rstrip() + "\n" + END + tail)
    os.replace(path + ".new", path)


def draw(path, tables):
    """One panel of horizontal bars for each table that has a chart. Says whether gnuplot drew it."""
    charts = [table for table in tables if table.chart]
    if not charts:
        return False
    rows = (len(charts) + 1) // 2
    script = ["set terminal svg size 1200,%d font 'sans,11' background 'white'" % (60 + 270 * rows), "set output '%s'" % path,
              "set multiplot layout %d,2" % rows, "set yrange [:] reverse", "set style fill solid 0.85", "set boxwidth 0.7", "unset key",
              "set xlabel 'seconds'", "set grid xtics", "set lmargin 36", "set rmargin 8", "set ytics scale 0"]
    for table in charts:
        script.append("$data << EOD")
        for number, (label, value) in enumerate(table.chart.items()):
            script.append('%d %.4f %d "%s"' % (number, value, 1 if label.lower().startswith("eidolon") else 0, label.replace('"', "")))
        script += ["EOD", "set title '%s'" % table.title.replace("'", "’"), "set xrange [0:%g]" % (max(table.chart.values()) * 1.25),
                   "set yrange [%d.5:-0.5]" % (len(table.chart) - 1),
                   "plot $data using ($2*0.5):1:($2*0.5):(0.35):($3==1?0x2a6fb0:0xa0a0a0):ytic(4) with boxxyerror lc rgb variable, "
                   "$data using 2:1:(sprintf(' %.2f', $2)) with labels left"]
    script.append("unset multiplot")
    done = subprocess.run(["gnuplot"], input="\n".join(script), text=True, capture_output=True)
    if done.returncode:
        print("gnuplot: " + done.stderr.strip())
    return done.returncode == 0


def write_samples(folder, settings, tables):
    """Everything measured, in one file for programs."""
    path = os.path.join(folder, "samples.json")
    content = {"machine": machine(), "settings": dataclasses.asdict(settings), "tables": [dataclasses.asdict(table) for table in tables]}
    with open(path, "w") as file:
        json.dump(content, file, indent=1, default=str)
    return path


def publish(settings, tables, notes, document, chart):
    """Prints the report and keeps it: Markdown and chart in docs/, samples beside the build."""
    text = _measured(settings, tables, notes)
    print(text)
    samples = write_samples(os.path.join(settings.build, "bench"), settings, tables)
    drawn = draw(chart, tables)
    if document:
        picture = "![Times of all tools](%s)\n\n" % os.path.relpath(chart, os.path.dirname(document)) if drawn else ""
        write_document(document, picture + text)
    print("Samples: %s%s%s" % (samples, "; report: " + document if document else "", "; chart: " + chart if drawn else ""))
