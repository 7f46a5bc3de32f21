# SPDX-License-Identifier: GPL-2.0-or-later
"""The NVMe driver on emulated controllers: block sizes, transfer limits, several namespaces, what must be refused, errors."""

import os
import re

from machine import Machine

SIZE = 24 << 20


def filled_disk(m, name):
    path = m.new_disk(name, SIZE)
    with open(path, "r+b") as file:
        file.write(os.urandom(SIZE))
    return path


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def test_copies_between_namespaces_at_every_transfer_limit():
    job = "".join("clone nvme:D%d nvme:D%d/n2 --raw --yes\n" % (mdts, mdts) for mdts in range(1, 6))
    with Machine() as m:
        m.add_stick(files={"EIDOLON/JOB.TXT": job})
        pairs = []
        for mdts in range(1, 6):
            pair = filled_disk(m, "from%d" % mdts), m.new_disk("to%d" % mdts, SIZE)
            size = 4096 if mdts % 2 else 512
            m.add_nvme(pair[0], "D%d" % mdts, namespaces=[pair[1]], mdts=mdts, logical_block_size=size, physical_block_size=size)
            pairs.append(pair)
        m.start()
        m.expect_exit(0, timeout=150)
        for mdts in range(1, 6):
            assert "transfers of %d KiB" % (4 << mdts) in m.log(), m.log()
        for source, target in pairs:
            assert contents(source) == contents(target), target


def test_leaves_out_what_cannot_be_copied():
    with Machine(command="list") as m:
        m.add_stick()
        m.add_nvme(m.new_disk("zoned", SIZE), "ODD", zoned=True, **{"zoned.zone_size": 1 << 20})
        m._device({"driver": "nvme-ns", "bus": "nvme0", "nsid": 2, "ms": 8, "drive": m._block("metadata", m.new_disk("metadata", SIZE))})
        m._device({"driver": "nvme-ns", "bus": "nvme0", "nsid": 9, "drive": m._block("good", m.new_disk("good", SIZE))})
        m.start()
        m.wait_for(r"nvme:ODD: namespace 1 is left out: it is zoned", timeout=60)
        m.wait_for(r"nvme:ODD: namespace 2 is left out: its blocks carry metadata")
        m.expect_exit(0)
        assert re.findall(r"^(nvme:\S+)$", m.log(), re.MULTILINE) == ["nvme:ODD/n9"], m.log()


def test_unreadable_block_is_named():
    with Machine(command="clone nvme:BAD nvme:BAD/n2 --raw --yes") as m:
        m.add_stick()
        m.add_nvme(filled_disk(m, "bad"), "BAD", namespaces=[m.new_disk("target", SIZE)],
                   inject=[{"iotype": "read", "sector": 4097}])
        m.start()
        m.expect_exit(4, timeout=90)
        assert re.search(r"nvme:BAD.*4097", m.log()), m.log()
