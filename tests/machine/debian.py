# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk with a real Debian system: ESP with systemd-boot and a kernel, ext4 root. Needs root and Debian's packages."""

import glob
import os
import shutil
import subprocess
import tempfile

from machine import BUILD
from pc import MIB, run

PACKAGES = "systemd-sysv,udev,initramfs-tools,linux-image-amd64,systemd-boot"


def mirror():
    """Where this machine itself gets Debian's packages from, and which release."""
    lines = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)", "Created-By: Packages",
                text=True).stdout.splitlines()
    for line in lines:
        uri, release, component, origin = (line.split(" ") + ["", "", ""])[:4]
        if component == "main" and origin == "Debian" and "-" not in release:
            return uri, release
    raise AssertionError("no Debian mirror is configured on this machine")


def install(folder):
    """debootstrap with a kernel; the root file system's tree in `folder`."""
    uri, release = mirror()
    log = os.path.join(BUILD, "debootstrap.log")
    with open(log, "wb") as output:
        status = subprocess.run(["debootstrap", "--variant=minbase", "--include=" + PACKAGES, release, folder, uri], stdin=subprocess.DEVNULL,
                                stdout=output, stderr=subprocess.STDOUT).returncode
    if status:
        with open(log) as text:
            raise AssertionError("debootstrap failed:\n" + "".join(text.readlines()[-15:]))
    # A newly installed system would wait for a network and keep the packages it came from: neither is needed.
    shutil.rmtree(os.path.join(folder, "var/cache/apt/archives"), ignore_errors=True)
    with open(os.path.join(folder, "etc/hostname"), "w") as file:
        file.write("restored-pc\n")


def boot_entry(root_uuid, kernel, initrd):
    return ("title Debian\nlinux /%s\ninitrd /%s\noptions root=UUID=%s ro console=ttyS0 quiet\n" % (kernel, initrd, root_uuid))


def make_debian_disk(path, size=1800 * MIB, esp_size=160 * MIB):
    """Builds the disk; a second call copies what the first one made (build/cache)."""
    cache = os.path.join(BUILD, "cache", "debian.img")
    if not os.path.exists(cache):
        os.makedirs(os.path.dirname(cache), exist_ok=True)
        build_disk(cache + ".new", size, esp_size)
        os.rename(cache + ".new", cache)
    run("cp", "--sparse=always", cache, path)


def build_disk(path, size, esp_size):
    with tempfile.TemporaryDirectory(prefix="debian-", dir=BUILD) as work:
        tree, esp, root = (os.path.join(work, name) for name in ("tree", "esp.img", "root.img"))
        install(tree)
        root_uuid = "7a1e0c9e-57a0-4d5b-9f0a-0d1ce0000001"
        with open(os.path.join(tree, "etc/fstab"), "w") as file:
            file.write("UUID=%s / ext4 errors=remount-ro 0 1\n" % root_uuid)
        kernel = glob.glob(os.path.join(tree, "boot/vmlinuz-*"))[0]
        initrd = glob.glob(os.path.join(tree, "boot/initrd.img-*"))[0]
        loader = os.path.join(tree, "usr/lib/systemd/boot/efi/systemd-bootx64.efi")
        make_esp(esp, esp_size, loader, kernel, initrd, root_uuid)
        with open(root, "wb") as file:
            file.truncate(size - esp_size - 4 * MIB)
        run("mkfs.ext4", "-q", "-F", "-U", root_uuid, "-L", "root", "-d", tree, root)
        with open(path, "wb") as file:
            file.truncate(size)
        run("sgdisk", path, "-n", "1:2048:+%dM" % (esp_size // MIB), "-t", "1:ef00", "-n", "2:0:0", "-t", "2:8304")
        run("dd", "if=" + esp, "of=" + path, "bs=1M", "seek=1", "conv=notrunc,sparse")
        run("dd", "if=" + root, "of=" + path, "bs=1M", "seek=%d" % (1 + esp_size // MIB), "conv=notrunc,sparse")


def make_esp(esp, size, loader, kernel, initrd, root_uuid):
    with open(esp, "wb") as file:
        file.truncate(size)
    run("mkfs.fat", "-F", "32", "-n", "ESP", esp)
    run("mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::loader", "::loader/entries")
    for source, target in ((loader, "EFI/BOOT/BOOTX64.EFI"), (kernel, "vmlinuz"), (initrd, "initrd.img")):
        run("mcopy", "-i", esp, source, "::" + target)
    for text, target in (("timeout 0\ndefault debian.conf\n", "loader/loader.conf"),
                         (boot_entry(root_uuid, "vmlinuz", "initrd.img"), "loader/entries/debian.conf")):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            run("mcopy", "-i", esp, file.name, "::" + target)
