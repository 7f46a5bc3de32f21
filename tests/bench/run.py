#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures speed beside the peers. `make bench` builds and installs what it needs and calls this.

    make bench                        all parts, some 35 minutes; needs root and 14 GiB of memory
    make bench PARTS="host growth"    host: every tool in memory; emulated: the stick against Linux in QEMU; growth: data and disk
                                      sizes
    make bench ROUNDS=3 SIZE=3072     rounds, MiB of a volume
    make bench QUICK=1                small data, one round: shows that it works; docs/performance.md stays as it is
    make bench PUBLISH=0              docs/performance.md stays as it is
"""

import importlib
import os
import sys
import traceback

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)

import peers  # noqa: E402
import report  # noqa: E402
import settings as choices  # noqa: E402
import workspace  # noqa: E402

PARTS = ("host", "growth", "emulated")


def read_settings():
    wanted = os.environ.get("PARTS", " ".join(PARTS)).split()
    if set(wanted) - set(PARTS):
        raise SystemExit("PARTS: one or more of " + ", ".join(PARTS))
    quick = os.environ.get("QUICK", "0") not in ("", "0")
    return choices.Settings(parts=wanted, rounds=int(os.environ.get("ROUNDS") or (1 if quick else 3)), size=int(os.environ.get("SIZE") or (256 if quick else 3072)),
                            quick=quick, build=os.path.realpath(os.environ.get("BUILD", "build")))


def main():
    if os.geteuid():
        raise SystemExit("The bench mounts file systems: it needs root.")
    settings = read_settings()
    tables, failed = [], []
    with workspace.workspace(settings):
        notes = ["Source, image and target of the first part are in " + settings.memory_kind + ".",
                 "`zstdmt` chose %s threads." % peers.zstdmt_threads()]
        for part in settings.parts:
            try:
                tables += importlib.import_module(part).run(settings)
            except Exception:  # one part that breaks must not cost the others' results
                if workspace.was_stopped():
                    raise
                traceback.print_exc()
                failed.append(part)
                notes.append("The part `%s` broke off." % part)
    publishing = not settings.quick and os.environ.get("PUBLISH", "1") != "0" and not failed and set(settings.parts) == set(PARTS)
    document = os.path.join(choices.ROOT, "docs", "performance.md") if publishing else ""
    chart = os.path.join(choices.ROOT, "docs", "performance.svg") if publishing else os.path.join(settings.build, "bench", "performance.svg")
    report.publish(settings, tables, notes, document, chart)
    if failed:
        raise SystemExit("broke off: " + ", ".join(failed))


if __name__ == "__main__":
    try:
        main()
    except workspace.Stopped:
        raise SystemExit("stopped") from None
