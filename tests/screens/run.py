#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of every screen, in every language and on two panels, from an emulated PC: build/screens/LANGUAGE-SIZE/NN-name.png, and all of a walk in
one picture beside the folder. Somebody presses keys and reads the panel, in whatever language; a screen that does not come fails the walk.

    QUICK=1                        English at 1280x800 alone
    LANGUAGES="korean russian"     as the files of ui/catalogue are called
    SIZES="640x480 1920x1080"      of the panel, in pixels
"""

import concurrent.futures
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../machine")]

import panel  # noqa: E402
from machine import BUILD, SHARED_MEMORY, Machine, MachineError  # noqa: E402
from pc import MIB  # noqa: E402
from scene import Scene  # noqa: E402

OUT = os.path.join(BUILD, "screens")
FONT = panel.Font()
TIMEOUT = 420
FULL_SPEED = {"bps_read": 0, "bps_write": 0}
RULES = """[job]
countdown = 600
title = Lab, autumn 2026
report = stick:\\EIDOLON\\REPORTS
[rule "lab PCs"]
when model = %s
do = restore
image = BACKUP:\\%s
disk = serial WD-WCC6Y7PLKX2A
erase = yes
then = wait
"""


class Walk:
    """Somebody before a panel, who reads this language."""

    def __init__(self, language, size):
        self.language, self.size = language, size
        self.name = "%s-%s" % (language, size)
        self.texts = panel.catalogue(language)
        self.folder = os.path.join(OUT, self.name)
        self.cache, self.shown, self.number = {}, [], 0
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)

    # -- the machine ----------------------------------------------------------------------------------------------------

    def new_machine(self, scene, step, files=None, language=None, backup=None):
        """With a panel and without a serial line, for what that cannot show no face shows."""
        m = Machine("screens/%s-%s" % (self.name, step), screen=True, screens=True, processors=2, timeout=TIMEOUT,
                    fw_cfg={"opt/eidolon/language": language} if language else None)
        width, height = self.size.split("x")
        for option, value in (("-serial", "none"), ("-vga", "none")):
            m.arguments[[at for at, word in enumerate(m.arguments) if word == option][0] + 1] = value
        m.arguments += ["-device", "VGA,edid=on,xres=%s,yres=%s" % (width, height),
                        "-smbios", "type=1,manufacturer=Dell Inc.,product=OptiPlex 7060,serial=7XK2LQ2"]
        m.add_usb_scsi("usb-bot", [m.new_stick(files=files)], "4C5310012307", bootindex=0, vendor="SanDisk", product="Ultra Fit")
        self.pc, self.spare = scene.plug_in(m, backup)
        self.m = m
        return m

    def start(self):
        self.m.start()
        match = self.m.wait_for(r"screens: (\d+) x (\d+) cells", timeout=90)
        self.columns, self.rows = int(match.group(1)), int(match.group(2))
        self.scale = min(int(self.size.split("x")[0]) // (8 * self.columns), int(self.size.split("x")[1]) // (16 * self.rows))

    # -- eyes -----------------------------------------------------------------------------------------------------------

    def look(self):
        path = os.path.join(self.m.directory, "screen.ppm")
        self.m.qmp("screendump", filename=path)
        return panel.Panel(path)

    def read(self, dump=None):
        dump = dump or self.look()
        if "%dx%d" % (dump.width, dump.height) != self.size:
            return ""  # the firmware has not come so far
        return dump.read(FONT, self.scale, self.columns, self.rows, self.cache)

    def pattern(self, wanted):
        """An ID of the catalogue; or, behind "=", what is in no language."""
        if wanted.startswith("="):
            return re.escape(FONT.plain(wanted[1:]))
        return ".*?".join(re.escape(FONT.plain(part)) for part in re.split(r"%\d", self.texts[wanted]))

    def see(self, *wanted, timeout=60):
        """Waits until all of them are on the panel; returns the text."""
        end = time.monotonic() + timeout
        patterns = [self.pattern(one) for one in wanted]
        while True:
            text = self.read()
            plain = FONT.plain(text)
            if all(re.search(pattern, plain) for pattern in patterns):
                return text
            if self.m.process.poll() is not None or time.monotonic() > end:
                self.m.fail("the panel does not show %s but\n%s" % (wanted, text))
            time.sleep(0.1)

    def keep(self, name, still=True):
        """This screen's picture; still: as soon as it does not change any more."""
        before, dump = None, self.look()
        for _ in range(20 if still else 1):
            if before and before.lines == dump.lines:
                break
            time.sleep(0.15)
            before, dump = dump, self.look()
        self.number += 1
        panel.write_png(os.path.join(self.folder, "%02d-%s.png" % (self.number, name)), dump.lines, dump.width)
        self.shown.append(dump.scaled_down(2) if self.scale % 2 == 0 else dump)

    # -- hands ----------------------------------------------------------------------------------------------------------

    def press(self, *keys):
        for key in keys:
            self.m.send_key(key)
            time.sleep(0.15)

    def type(self, text):
        for letter in text:
            self.press("shift-" + letter.lower() if letter.isupper() else letter)

    def choose(self, text, limit=20):
        """From the first line down, until the arrow stands before the text."""
        self.press("home")
        wanted = re.compile(r"^ *[►▶→>].*" + FONT.plain(text), re.MULTILINE)
        for _ in range(limit):
            if any(wanted.search(FONT.plain(line)) for line in self.read().splitlines()):
                return
            self.press("down")
        self.m.fail("cannot choose %s on\n%s" % (text, self.read()))

    # -- the ways -------------------------------------------------------------------------------------------------------

    def begin(self):
        position = panel.languages().index(self.language)
        self.see("=Eidolon")
        if position:
            self.press("f2", *["down"] * position, "ret")
        self.see("START_QUESTION")
        self.keep("start")
        self.press("f1")
        self.see("HELP_TITLE", "KEY_CLOSE")
        self.keep("help")
        self.press("ret", "f2")
        self.see("LANGUAGE_QUESTION", "=English")
        self.keep("language")
        self.press("esc")

    def save(self):
        self.press("s")
        self.see("DISK_SAVE_QUESTION", "=QEMU NVMe Ctrl")
        self.choose("QEMU NVMe Ctrl")
        self.keep("save-disk")
        self.press("f1")
        self.see("HELP_TITLE", "KEY_CLOSE")
        self.keep("save-disk-help")
        self.press("ret", "right")
        self.see("PARTITION_QUESTION")
        self.press("down", "down")
        self.keep("save-partition")
        self.press("esc", "ret")
        self.see("VOLUME_QUESTION", "=BACKUP")
        self.choose("BACKUP")
        self.keep("save-place")
        self.press("ret")
        self.see("OPTIONS_QUESTION")
        self.press("down")
        self.keep("save-options")
        image = re.search(r"BACKUP:\\(\S+\.eid)", self.read()).group(1)
        self.press("up", "ret")
        self.see("PLAN_ENTER")
        self.keep("save-plan")
        self.m.set_throttle(self.pc, bps_read=8 * MIB)
        self.press("ret")
        self.wait_until_copied(84)  # the second half of the disk is under way: the first holds most of what is in use
        self.keep("save-work", still=False)
        self.press("p")
        self.see("WORK_PAUSED")
        self.keep("save-paused")
        self.press("esc")
        self.see("CANCEL_QUESTION", "CANCEL_NO")
        self.keep("save-cancel")
        self.press("ret", "p")
        self.m.set_throttle(self.pc, **FULL_SPEED)
        self.see("RESULT_VERIFIED", timeout=120)
        self.keep("save-result")
        self.press("ret")
        return image

    def wait_until_copied(self, wanted):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            match = re.search(r"(\d+)%", self.read())
            if match and wanted <= int(match.group(1)) < 97:
                return
            time.sleep(0.1)
        self.m.fail("the work is not that far in a minute:\n" + self.read())

    def restore(self, image):
        self.see("START_QUESTION")
        self.press("r")
        self.see("VOLUME_IMAGE_QUESTION", "=BACKUP")
        self.choose("BACKUP")
        self.keep("restore-volume")
        self.press("ret")
        self.see("IMAGE_QUESTION", "=" + image)
        self.choose(image)
        self.keep("restore-image")
        self.press("ret")
        self.see("DISK_RESTORE_QUESTION", "=KINGSTON")
        self.choose("KINGSTON")
        self.press("ret")
        self.see("OPTIONS_QUESTION")
        self.press("ret")
        self.see("PLAN_REFUSED")
        self.keep("restore-refused")
        self.press("esc")
        self.see("OPTIONS_QUESTION")
        self.press("esc")
        self.see("DISK_RESTORE_QUESTION")
        self.choose("WDC")
        self.keep("restore-disk")
        self.press("ret")
        self.see("OPTIONS_QUESTION")
        self.keep("restore-options")
        self.press("ret")
        self.see("PLAN_TYPE_SERIAL")
        self.keep("restore-plan")
        self.type("2345")
        self.press("ret")
        self.see("PLAN_NOT_TYPED")
        self.keep("restore-plan-wrong")
        self.m.set_throttle(self.spare, bps_write=12 * MIB)
        self.type("KX2A")
        self.press("ret")
        self.wait_until_copied(50)
        self.keep("restore-work", still=False)
        self.press("esc")
        self.see("CANCEL_QUESTION", "CANCEL_NO")
        self.keep("restore-cancel")
        self.press("ret")
        self.m.set_throttle(self.spare, **FULL_SPEED)
        self.see("RESULT_VERIFIED", timeout=120)
        self.keep("restore-result")
        self.press("ret")

    def failing_disk(self):
        for salvage in (False, True):
            self.see("START_QUESTION")
            self.press("s")
            self.see("DISK_SAVE_QUESTION", "=ST500DM002")
            self.choose("ST500DM002")
            self.press("ret")
            self.see("VOLUME_QUESTION", "=BACKUP")
            self.choose("BACKUP")
            self.press("ret")
            self.see("OPTIONS_QUESTION")
            if salvage:
                self.press(*["down"] * 5, "right")
                self.keep("salvage-options")
            self.press("ret")
            self.see("PLAN_QUESTION")
            self.press("ret")
            self.see("RESULT_LOSSES" if salvage else "RESULT_FAILED", timeout=120)
            self.keep("result-losses" if salvage else "result-failed")
            self.press("ret")

    def others(self, image):
        self.see("START_QUESTION")
        self.press("v")
        self.see("VOLUME_IMAGE_QUESTION", "=BACKUP")
        self.choose("BACKUP")
        self.press("ret")
        self.see("IMAGE_QUESTION")
        self.choose(image)
        self.press("ret")
        self.see("PLAN_ENTER")
        self.keep("check-plan")
        self.press("ret")
        self.see("RESULT_CHECKED", timeout=120)
        self.keep("check-result")
        self.press("ret")
        self.see("START_QUESTION")
        self.press("d")
        self.see("DISK_LOOK_QUESTION", "=WDC")
        self.choose("WDC")
        self.keep("disks")
        self.press("ret")
        self.see("COLUMN_LABEL")
        self.press("down", "down", "down")
        self.keep("partitions")
        self.press("esc", "esc")

    def unattended(self, scene, image, backup):
        code = {"english": "en", "chinese": "zh-Hans", "korean": "ko", "russian": "ru"}[self.language]
        for model, see, name in (("OptiPlex 70*", "UNATTENDED_COUNT", "unattended-countdown"),
                                 ("Latitude*", "UNATTENDED_NO_RULE", "unattended-no-rule")):
            with self.new_machine(scene, name, files={"EIDOLON/JOB.INI": RULES % (model, image)}, language=code, backup=backup):
                self.m.start()
                self.see(see, timeout=120)
                self.keep(name)
                self.press("spc")
                if see == "UNATTENDED_COUNT":
                    self.see("UNATTENDED_STOPPED")
                    self.keep("unattended-stopped")

    def all(self, scene):
        with self.new_machine(scene, "walk") as m:
            self.start()
            self.begin()
            image = self.save()
            self.restore(image)
            self.failing_disk()
            self.others(image)
            backup = shutil.move(os.path.join(m.disks, "backup.img"), scene.path(self.name + "-images"))
        self.unattended(scene, image, backup)
        os.remove(backup)
        panel.write_sheet(self.folder + ".png", self.shown)


def main():
    quick = bool(os.environ.get("QUICK"))
    languages = os.environ.get("LANGUAGES", "english" if quick else " ".join(panel.languages())).split()
    sizes = os.environ.get("SIZES", "1280x800" if quick else "640x480 1280x800").split()
    failed, lock = [], threading.Lock()

    def one(scene, language, size):
        walk, begun = Walk(language, size), time.monotonic()
        try:
            walk.all(scene)
        except (MachineError, AssertionError, OSError):
            with lock:
                failed.append(walk.name)
                print("FAILED  %s\n%s" % (walk.name, traceback.format_exc()), flush=True)
            return
        with lock:
            print("%3d pictures  %s  %.0f s" % (walk.number, os.path.relpath(walk.folder), time.monotonic() - begun), flush=True)

    with tempfile.TemporaryDirectory(prefix="eidolon-scene-", dir=SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else None) as folder:
        scene = Scene(folder)
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            for done in [pool.submit(one, scene, language, size) for language in languages for size in sizes]:
                done.result()
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
