# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders, mounts and loop devices of a run, all gone at its end, also after Ctrl-C or a kill."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, **options)


def _unmount(folder):
    if subprocess.run(["umount", folder], capture_output=True).returncode:
        subprocess.run(["umount", "-l", folder], capture_output=True)


class Stopped(BaseException):
    """Ctrl-C or a kill."""


_stops = []


def _stop(number, _frame):
    _stops.append(number)
    raise Stopped


def was_stopped():
    """Also when a helper that was killed along with us had the last word and its error hides ours."""
    return bool(_stops)


def _release(folder):
    """Unmounts what still uses a file of `folder`, when the one who mounted it could not."""
    devices = [line.split(maxsplit=1) for line in run("losetup", "-n", "-l", "-O", "NAME,BACK-FILE", text=True).stdout.splitlines()]
    devices = [words[0] for words in devices if len(words) == 2 and words[1].startswith(folder)]
    with open("/proc/mounts") as file:
        mounts = [line.split()[:2] for line in file]
    for source, place in mounts:
        if source in devices or source.startswith(folder):
            _unmount(place)
            with contextlib.suppress(OSError):
                os.rmdir(place)
    for device in devices:
        subprocess.run(["losetup", "-d", device], capture_output=True)


@contextlib.contextmanager
def workspace(settings):
    """Fills in the folders of `settings`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    os.makedirs(os.path.join(settings.build, "bench"), exist_ok=True)
    with contextlib.ExitStack() as stack:
        settings.scratch = stack.enter_context(_folder(os.path.join(settings.build, "bench")))
        settings.memory, settings.memory_kind = stack.enter_context(_memory(settings))
        try:
            yield
        finally:
            for folder in (settings.memory, settings.scratch):
                _release(folder + os.sep)


@contextlib.contextmanager
def _folder(where):
    folder = tempfile.mkdtemp(prefix="run-", dir=where)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _memory(settings):
    folder = os.path.join(settings.scratch, "memory")
    os.mkdir(folder)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "huge=always,size=20G,mode=0700", "eidolon-bench", folder], capture_output=True).returncode == 0:
        try:
            yield folder, "a tmpfs with huge pages"
        finally:
            _unmount(folder)
    elif os.access("/dev/shm", os.W_OK):
        with _folder("/dev/shm") as shared:
            yield shared, "/dev/shm (a tmpfs with huge pages could not be mounted)"
    else:
        yield folder, "files on disk (no tmpfs could be mounted)"


@contextlib.contextmanager
def loop_device(path, offset=0, size=0, read_only=False):
    """A block device for a file or a part of it."""
    options = ["-o", str(offset)] + (["--sizelimit", str(size)] if size else []) + (["-r"] if read_only else [])
    device = run("losetup", "-f", "--show", *options, path, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], capture_output=True)


@contextlib.contextmanager
def large_files(settings, size):
    """A folder on an XFS of `size` bytes inside a sparse file: ext4 allows no file of 16 TiB."""
    image, folder = os.path.join(settings.scratch, "xfs"), os.path.join(settings.scratch, "large")
    with open(image, "wb") as file:
        file.truncate(size)
    run("mkfs.xfs", "-q", "-f", image)
    os.makedirs(folder, exist_ok=True)
    run("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        _unmount(folder)
        os.remove(image)
