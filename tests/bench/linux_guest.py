# SPDX-License-Identifier: GPL-2.0-or-later
"""The smallest Linux that saves a disk with partclone and zstd: Debian's own kernel, busybox and programs in one EFI file, which a stick carries as it
carries Eidolon.

Nothing is installed: the packages are fetched and unpacked below build/linux. Only what the work needs is started, so that no time is lost to what a
rescue system does besides. Programs and libraries are this machine's own.
"""

import glob
import os
import re
import shutil
import stat
import subprocess

PROGRAMS = ["partclone.ext4", "partclone.ntfs", "partclone.fat", "zstd", "mkswap"]
# partclone loads this one only when a thread ends.
EXTRA_LIBRARIES = ["libgcc_s.so.1"]
# nls_* and the USB drivers are not here: the firmware has read the stick before Linux runs.
MODULES = ["crc32c_generic", "crc32c-intel", "nvme", "ahci", "sd_mod", "ext4"]
SECTION_ADDRESSES = {".osrel": 0x20000, ".cmdline": 0x30000, ".linux": 0x2000000, ".initrd": 0x3000000}

# The program of the guest. /proc/uptime begins with the kernel; the host sees when a line arrives. What the partitions hold is known here, as a rescue
# system has it from blkid and asks its user.
INIT = r"""#!/bin/sh
export PATH=/bin LANG=C
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
ln -s /proc/self/fd /dev/fd
say() { read up rest </proc/uptime; echo "[$up] $*"; }
say init
for module in $(cat /modules.order); do insmod /modules/$module.ko || say "no $module"; done
ready() { for n in "$@"; do t=0; while ! [ -b $n ]; do usleep 5000; t=$((t+1)); [ $t -lt 4000 ] || { say "no $n"; poweroff -f; }; done; done; }
for word in $(cat /proc/cmdline); do case $word in bench.*=*) w=${word#bench.}; export ${w%%=*}="$(echo "${w#*=}" | tr _ ' ')";; esac; done
D=/dev/nvme0n1
ready $D /dev/sda1
say disks
mount -t ext4 /dev/sda1 /mnt || say "no images"
say mounted
last=$(($(cat /sys/block/${D#/dev/}/size) - 33))
# Clonezilla's way: the table, then a stream for each partition; of swap its UUID.
save() { # KIND NUMBER
    partclone.$1 $partclone -z 10485760 -L /tmp/log -c -s ${D}p$2 2>/tmp/err | zstd -q $zstd -c >/mnt/p$2.zst || { cat /tmp/err; say "failed p$2"; }
    say "saved p$2"
}
put() { # KIND NUMBER
    zstd -q -dc /mnt/p$2.zst | partclone.$1 $partclone -z 10485760 -L /tmp/log -r -s - -o ${D}p$2 2>/tmp/err || { cat /tmp/err; say "failed p$2"; }
    say "restored p$2"
}
capture() {
    dd if=$D of=/mnt/first bs=512 count=2048 2>/dev/null && dd if=$D of=/mnt/last bs=512 skip=$last 2>/dev/null || say "failed table"
    say "saved table"
    save fat 1
    zstd -q $zstd -c <${D}p2 >/mnt/p2.zst; say "saved p2"
    save ntfs 3; save ext4 4
    dd if=${D}p5 bs=4096 count=1 2>/dev/null | dd bs=1 skip=1036 count=16 2>/dev/null | hexdump -e '16/1 "%02x"' >/mnt/swap
    ls -l /mnt | while read mode links owner group size rest; do n=${rest##* }; [ "${n%.zst}" = "$n" ] || echo "size $n $size"; done
    umount /mnt && sync || say "failed umount"
    say "end"
}
restore() {
    dd if=/mnt/first of=$D bs=512 2>/dev/null && dd if=/mnt/last of=$D bs=512 seek=$last 2>/dev/null || say "failed table"
    blockdev --rereadpt $D || say "failed partitions"
    ready ${D}p1 ${D}p2 ${D}p3 ${D}p4 ${D}p5
    say "restored table"
    put fat 1
    zstd -q -dc /mnt/p2.zst >${D}p2; say "restored p2"
    put ntfs 3; put ext4 4
    u=$(cat /mnt/swap); /bin/mkswap -U ${u:0:8}-${u:8:4}-${u:12:4}-${u:16:4}-${u:20:12} ${D}p5 >/dev/null || say "failed swap"
    sync; blockdev --flushbufs $D || say "failed sync"
    say "end"
}
$job
poweroff -f
"""


def fetch(folder):
    """Kernel, busybox and the loader stub as packages of Debian, unpacked below `folder`; a second call does nothing."""
    ready = os.path.join(folder, "ready")
    if os.path.exists(ready):
        return
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    depends = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], check=True, capture_output=True, text=True).stdout
    kernel = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
    subprocess.run(["apt-get", "download", kernel, "busybox-static", "systemd-boot-efi"], cwd=folder, check=True, capture_output=True)
    for package in glob.glob(os.path.join(folder, "*.deb")):
        subprocess.run(["dpkg", "-x", package, folder], check=True)
        os.remove(package)
    open(ready, "w").close()


def _module_files(folder):
    """The wanted modules and what they depend on, in the order of loading: [(name, path)]."""
    paths = {os.path.basename(path)[:-3]: path for path in glob.glob(os.path.join(folder, "lib/modules/**/*.ko"), recursive=True)}
    paths.update({name.replace("_", "-"): path for name, path in list(paths.items())})
    order = []

    def add(name):
        path = paths[name.replace("_", "-")]
        if path in order:
            return
        with open(path, "rb") as file:
            depends = re.search(rb"\0depends=([^\0]*)\0", file.read()).group(1).decode()
        for other in filter(None, depends.split(",")):
            add(other)
        order.append(path)

    for name in MODULES:
        add(name)
    return [(os.path.basename(path)[:-3], path) for path in order]


def _libraries(program):
    """The shared objects that the loader takes, the loader itself among them."""
    lines = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"(/\S+) \(0x", lines))


class _Archive:
    """An initial RAM file system: cpio's "newc" form, as the kernel's initramfs text has it."""

    def __init__(self):
        self.parts = []
        self.folders = set()
        self.number = 0

    def _add(self, name, mode, data):
        self.number += 1
        name = name.encode() + b"\0"
        fields = (self.number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def folder(self, name):
        if name and name not in self.folders:
            self.folder(os.path.dirname(name))
            self.folders.add(name)
            self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, data):
        self.folder(os.path.dirname(name))
        self._add(name, stat.S_IFREG | 0o755, data)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def finish(self):
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self.parts)


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _initial_file_system(folder):
    archive = _Archive()
    for name in ("dev", "proc", "sys", "mnt", "tmp"):
        archive.folder(name)
    busybox = os.path.join(folder, "bin/busybox")
    archive.file("bin/busybox", _read(busybox))
    programs = {name: shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") for name in PROGRAMS}
    for name in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if name not in programs and name != "busybox":
            archive.link("bin/" + name, "busybox")
    libraries = set(glob.glob("/lib/x86_64-linux-gnu/" + EXTRA_LIBRARIES[0]))
    for name, path in programs.items():
        archive.file("bin/" + name, _read(path))
        libraries |= _libraries(path)
    for path in sorted(libraries):
        archive.file(path.lstrip("/"), _read(path))
    modules = _module_files(folder)
    for name, path in modules:
        archive.file("modules/%s.ko" % name, _read(path))
    archive.file("modules.order", "\n".join(name for name, _ in modules).encode())
    archive.file("init", INIT.encode())
    return subprocess.run(["zstd", "-q", "-19", "-c"], input=archive.finish(), check=True, capture_output=True).stdout


def make_application(folder, output, job, zstd="-1 -T2", partclone=""):
    """One EFI file with kernel, initial file system and command line, for \\EFI\\BOOT\\BOOTX64.EFI. job: capture or restore; zstd, partclone: the
    words given to these programs. Returns `output`."""
    fetch(folder)
    initial = os.path.join(folder, "initial.zst")
    if not os.path.exists(initial) or os.path.getmtime(initial) < os.path.getmtime(os.path.realpath(__file__)):
        with open(initial + ".new", "wb") as file:
            file.write(_initial_file_system(folder))
        os.replace(initial + ".new", initial)
    # A blank divides the words of a command line: the guest makes it of "_" again.
    words = {"job": job, "zstd": zstd, "partclone": partclone}
    line = "console=ttyS0 quiet loglevel=3 " + " ".join("bench.%s=%s" % (key, text.replace(" ", "_")) for key, text in words.items())
    parts = {".osrel": output + ".osrel", ".cmdline": output + ".cmdline", ".initrd": initial,
             ".linux": glob.glob(os.path.join(folder, "boot/vmlinuz-*"))[0]}
    for section, text in ((".osrel", "ID=bench\n"), (".cmdline", line)):
        with open(parts[section], "w") as file:
            file.write(text)
    command = ["objcopy"]
    for section, address in SECTION_ADDRESSES.items():
        command += ["--add-section", "%s=%s" % (section, parts[section]), "--change-section-vma", "%s=0x%x" % (section, address)]
    subprocess.run(command + [os.path.join(folder, "usr/lib/systemd/boot/efi/linuxx64.efi.stub"), output], check=True, capture_output=True)
    return output
