# SPDX-License-Identifier: GPL-2.0-or-later
"""An emulated PC under a test's control: QEMU (TCG) with OVMF, driven from outside.

    with Machine() as m:
        m.add_stick(files={"EIDOLON/JOB.TXT": "list\n"})
        m.add_nvme(m.new_disk("a", "8G"), serial="A1")
        m.start()
        m.wait_for(r"nvme:A1", timeout=20)
        m.expect_exit(0, timeout=20)

Rules of the house: synchronise on log lines, never on sleeps; every wait has a deadline; the guest is dead when the `with`
block is left. The application's log comes from debug port 0x403 (m.log_path), the firmware's console and exception dumps
from the serial port (m.serial_path). Both stay in build/machine/<test>/ for reading afterwards; disks live in /dev/shm when
there is room and are removed (KEEP=1 in the environment keeps them).
"""

import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

REPOSITORY = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(REPOSITORY, os.environ.get("BUILD", "build"))
FIRMWARE = "/usr/share/OVMF"
SHARED_MEMORY = os.environ.get("EIDOLON_DISKS") or "/dev/shm"
SHARED_MEMORY_RESERVE = 4 << 30  # bytes that must be free there before disks go there

# isa-debug-exit turns outl(n) into the exit code 2n + 1.
EXIT_PORT = "0x501"
LOG_PORT = "0x403"

NVME_CONTROLLER_PROPERTIES = {
    "mdts", "max_ioqpairs", "msix_qsize", "cmb_size_mb", "use-intel-id", "aerl", "aer_max_queued", "vsl", "zoned.zasl",
    "legacy-cmb", "ioeventfd", "addr",
}


class MachineError(AssertionError):
    """The machine did not do what the test expects; the text ends with its last log lines."""


def parse_size(size):
    """4096, "64M", "8G" -> bytes."""
    if isinstance(size, int):
        return size
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    return int(size[:-1]) << units[size[-1].upper()] if size[-1].upper() in units else int(size)


def sparse_file(path, size):
    """An empty file of this size that takes no room."""
    with open(path, "wb") as file:
        file.truncate(parse_size(size))
    return path


def take_precedence():
    """For tests that compare speeds: others on this computer shall not take the processors away. Without the right to it, nothing."""
    with contextlib.suppress(OSError):
        os.nice(-10)
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as file:
        file.write("-10")


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Qmp:
    """A client of QEMU's machine protocol; events are kept in `events`."""

    def __init__(self, path, deadline=10):
        end = time.monotonic() + deadline
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError:
                self.socket.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        self.socket.settimeout(deadline)
        self.stream = self.socket.makefile("rw", encoding="utf-8")
        self.events = []
        self.stream.readline()  # the greeting
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        """Runs one command and returns its result; underscores in argument names become dashes."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items() if value is not None}
        self.stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            line = self.stream.readline()
            if not line:
                raise MachineError("QEMU closed the connection during " + name)
            answer = json.loads(line)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise MachineError("%s: %s" % (name, answer["error"]["desc"]))
            else:
                return answer["return"]

    def close(self):
        self.stream.close()
        self.socket.close()


class Machine:
    """One PC. Add devices, start(), then watch and act. Every add_ method returns the id of the device for device_del."""

    def __init__(self, name=None, *, memory="1G", processors=1, cpu="max", screen=False, ps2=True, secure_boot=False,
                 kernel=None, fw_cfg=None, command=None, exit_port=True, timeout=180, terminal=False, screens=False):
        """screen: a VGA adapter (screendump). kernel: an .efi that the firmware starts itself, faster than from a stick.
        fw_cfg: {"opt/...": text}. command: what the application does instead of the job file or its prompt. exit_port: when
        it returns, its exit code ends the emulator (see expect_exit); False: it returns to the firmware. timeout: seconds
        after which the machine is killed, whatever happens. terminal: somebody sits at the serial line (type_serial)."""
        self.name = name or os.environ.get("EIDOLON_TEST", "machine")
        self.directory = os.path.join(BUILD, "machine", self.name)
        os.makedirs(self.directory, exist_ok=True)
        self.disks = self._disk_directory()
        self.sockets = tempfile.mkdtemp(prefix="eidolon-")  # a socket's path is short
        self.log_path = os.path.join(self.directory, "log.txt")
        self.serial_path = os.path.join(self.directory, "serial.txt")
        self.timeout = timeout
        self.process = None
        self._nodes = {}  # the drives below devices, by their ids
        self.timed_out = False
        self._timer = None
        self._qmp = None
        self._position = {}
        self._count = {}
        self._has_xhci = False
        code, variables = "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"
        board = "q35"
        if secure_boot:
            code, variables = "OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.snakeoil.fd"
            board += ",smm=on"
        if not ps2:
            board += ",i8042=off"
        own_variables = os.path.join(self.directory, "vars.fd")
        shutil.copy(os.path.join(FIRMWARE, variables), own_variables)
        self.arguments = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", board, "-accel", "tcg,thread=multi",
            "-cpu", cpu, "-smp", str(processors), "-m", memory, "-display", "none", "-vga", "std" if screen else "none",
            "-nic", "none", "-no-reboot",
            "-drive", "if=pflash,unit=0,readonly=on,format=raw,file=" + os.path.join(FIRMWARE, code),
            "-drive", "if=pflash,unit=1,format=raw,file=" + own_variables,
            "-qmp", "unix:%s/qmp,server=on,wait=off" % self.sockets,
            "-device", "isa-debug-exit,iobase=%s,iosize=4" % EXIT_PORT,
            "-chardev", "file,id=log,path=" + self.log_path, "-device", "isa-debugcon,iobase=%s,chardev=log" % LOG_PORT,
        ]
        self._terminal = None
        self._has_terminal = terminal
        if terminal:
            # A socket is full after some hundred single bytes.
            for end in ("in", "out"):
                os.mkfifo(os.path.join(self.sockets, "serial." + end))
            self.arguments += ["-chardev", "pipe,id=serial,path=%s/serial" % self.sockets, "-serial", "chardev:serial"]
        else:
            self.arguments += ["-serial", "file:" + self.serial_path]
        if secure_boot:
            self.arguments += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        settings = dict(fw_cfg or {})
        if exit_port:
            settings.setdefault("opt/eidolon/exit", "yes")
        if command is not None:
            settings["opt/eidolon/command"] = command
        if not screens:
            settings["opt/eidolon/ui"] = "text"
        for key, text in settings.items():
            # A comma in an option's value is written twice.
            self.arguments += ["-fw_cfg", "name=%s,string=%s" % (key, text.replace(",", ",,"))]
        if kernel:
            self.arguments += ["-kernel", kernel]

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def start(self):
        """Switches the machine on. Again after it has ended: the same machine, its log begun anew."""
        if self.process is not None:
            self.kill()
        for path in (self.log_path, self.serial_path):
            open(path, "w").close()
        self._position = {}
        self.timed_out = False
        with open(os.path.join(self.directory, "command.txt"), "w") as file:
            file.write(" ".join("'%s'" % argument for argument in self.arguments) + "\n")
        self._errors = open(os.path.join(self.directory, "qemu.txt"), "w")
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=self._errors,
                                        stderr=self._errors, preexec_fn=_die_with_parent)
        self._timer = threading.Timer(self.timeout, self._time_is_up)
        self._timer.daemon = True
        self._timer.start()
        if self._has_terminal:
            self._sit_down()
        return self

    def _time_is_up(self):
        self.timed_out = True
        self.process.kill()

    def kill(self):
        """A power cut for the whole PC: QEMU is killed, its page cache survives."""
        if self._timer:
            self._timer.cancel()
        if self._qmp:
            self._qmp.close()
            self._qmp = None
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self._errors.close()
            self.process = None

    def close(self):
        self.kill()
        shutil.rmtree(self.sockets, ignore_errors=True)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.disks, ignore_errors=True)

    def quit(self):
        """The emulator's orderly end; for the guest a power cut in the middle of what it does."""
        try:
            self.qmp("quit")
        except (OSError, MachineError):
            pass
        self.process.wait(timeout=20)

    def expect_exit(self, code, timeout=60):
        """Waits for the end. code: the number that the application wrote to the exit port; None: the firmware's shutdown
        or reset."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            self._fail_on_exception()
            if time.monotonic() > end:
                self.fail("still running after %s s, expected its exit" % timeout)
            time.sleep(0.02)
        status = self.process.returncode
        if self.timed_out:
            self.fail("killed after %s s" % self.timeout)
        found = (status - 1) // 2 if status > 0 and status % 2 else None
        if status < 0 or (status > 0 and found is None) or found != code:
            self.fail("ended with %s, expected %s" % ("QEMU's own status %d" % status if found is None else found, code))

    # -- watching -----------------------------------------------------------------------------------------------------

    def log(self):
        """What the application has logged so far."""
        return self._read(self.log_path)

    def serial(self):
        """What the firmware and the application's console have printed so far, escape sequences removed."""
        return re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]", "", self._read(self.serial_path))

    def wait_for(self, pattern, timeout=30, source="log"):
        """Waits until the log (source="serial": the serial port) holds the pattern, after what the last call found.
        Returns the match. Fails at once when the guest ends or dies of an exception."""
        expression = re.compile(pattern, re.MULTILINE)
        end = time.monotonic() + timeout
        while True:
            ended = self.process.poll() is not None
            text = self.log() if source == "log" else self.serial()
            match = expression.search(text, self._position.get(source, 0))
            if match:
                self._position[source] = match.end()
                return match
            if ended:
                reason = "killed after %s s" % self.timeout if self.timed_out else "ended with status %s" % self.process.returncode
                self.fail("%s, waiting for /%s/" % (reason, pattern))
            self._fail_on_exception()
            if time.monotonic() > end:
                self.fail("no /%s/ within %s s" % (pattern, timeout))
            time.sleep(0.02)

    def fail(self, reason):
        """Ends the test with the reason and the last lines of every log."""
        lines = ["%s: %s" % (self.name, reason)]
        for path in (self.log_path, self.serial_path, os.path.join(self.directory, "qemu.txt")):
            tail = [line.rstrip()[:200] for line in self._read(path).splitlines() if line.strip()][-25:]
            if tail:
                lines += ["--- " + os.path.relpath(path, REPOSITORY)] + [re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]", "", line) for line in tail]
        raise MachineError("\n".join(lines))

    def _fail_on_exception(self):
        text = self._read(self.serial_path)
        if "X64 Exception Type" in text and "ImageBase" in text:
            rip = re.search(r"RIP\s+-\s+([0-9A-F]+)", text)
            base = re.search(r"ImageBase=([0-9A-F]+)", text)
            where = ""
            if rip and base:
                offset = int(rip.group(1), 16) - int(base.group(1), 16)
                where = subprocess.run(["addr2line", "-f", "-e", os.path.join(BUILD, "eidolon.elf"), hex(offset)],
                                       capture_output=True, text=True).stdout.replace("\n", " ")
                where = ", at 0x%x: %s" % (offset, where)
            self.fail("a processor exception" + where)

    @staticmethod
    def _read(path):
        try:
            with open(path, errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    # -- acting -------------------------------------------------------------------------------------------------------

    def qmp(self, command, **arguments):
        """m.qmp("device_del", id="usb0"); m.qmp("stop"); m.qmp("cont")."""
        if self._qmp is None:
            self._qmp = Qmp(os.path.join(self.sockets, "qmp"))
        return self._qmp.command(command, **arguments)

    def wait_event(self, name, timeout=10):
        """Waits for an event of QEMU, for instance SHUTDOWN."""
        end = time.monotonic() + timeout
        while True:
            self.qmp("query-status")  # also collects events
            for event in self._qmp.events:
                if event["event"] == name:
                    self._qmp.events.remove(event)
                    return event
            if time.monotonic() > end:
                self.fail("no event %s within %s s" % (name, timeout))
            time.sleep(0.05)

    def send_key(self, key):
        """One key by QEMU's name (ret, esc, down, f2, a), or several held together: "ctrl-c"."""
        self.qmp("send-key", keys=[{"type": "qcode", "data": part} for part in key.split("-")])

    def type_text(self, text, pause=0.05):
        """Types letters, digits and common signs of a US keyboard. The pause lets a key go up before the next goes down."""
        names = {" ": "spc", "\n": "ret", "-": "minus", "=": "equal", ".": "dot", ",": "comma", "/": "slash",
                 "\\": "backslash", ";": "semicolon", "'": "apostrophe", "[": "bracket_left", "]": "bracket_right"}
        shifted = {":": "semicolon", "#": "3", "_": "minus", "*": "8", "!": "1", "@": "2", "+": "equal", "?": "slash"}
        for letter in text:
            if letter in shifted or letter.isupper():
                keys = ["shift", shifted.get(letter, letter.lower())]
            else:
                keys = [names.get(letter, letter)]
            self.qmp("send-key", keys=[{"type": "qcode", "data": key} for key in keys], hold_time=30)
            time.sleep(pause)

    def serial_bytes(self):
        """Everything that came over the serial line so far, as it came (vt.Terminal reads it)."""
        with open(self.serial_path, "rb") as file:
            return file.read()

    def type_serial(self, data):
        """Sends bytes, or text as UTF-8, from the terminal at the serial line; needs terminal=True."""
        os.write(self._terminal, data.encode() if isinstance(data, str) else data)

    def _sit_down(self):
        """Somebody at the serial line, who writes down what comes."""
        # Opened for both directions, a pipe waits for nobody and never ends.
        self._terminal = os.open(os.path.join(self.sockets, "serial.in"), os.O_RDWR)
        line = os.open(os.path.join(self.sockets, "serial.out"), os.O_RDWR | os.O_NONBLOCK)

        def read(process, path):
            with open(path, "ab", buffering=0) as file:
                while process.poll() is None:
                    if select.select([line], [], [], 0.2)[0]:
                        file.write(os.read(line, 65536))
            os.close(line)

        threading.Thread(target=read, args=(self.process, self.serial_path), daemon=True).start()

    def screendump(self, filename="screen.png"):
        """The screen as a PNG in the machine's folder; needs screen=True. Returns the path."""
        path = os.path.join(self.directory, filename)
        self.qmp("screendump", filename=path, format="png")
        return path

    def unplug(self, device):
        """Takes a USB device away: it has left the machine on return. QEMU 7.2 may keep the remains of a disk, and its drive, for ever
        when a request was under way (about one in forty), so DEVICE_DELETED is not waited for."""
        self.qmp("device_del", id=device)

    def set_throttle(self, device, **limits):
        """Changes the limits of a disk added with throttle=...: set_throttle(id, iops_total=1). Not named: no limit."""
        full = {"iops-total": 0, "bps-total": 0}
        full.update({key.replace("_", "-"): value for key, value in limits.items()})
        self.qmp("qom-set", path="/objects/throttle-" + device, property="limits", value=full)

    # -- disks --------------------------------------------------------------------------------------------------------

    def _disk_directory(self):
        base = os.path.join(self.directory, "disks")
        shutil.rmtree(base, ignore_errors=True)
        try:
            status = os.statvfs(SHARED_MEMORY)
            if status.f_bavail * status.f_frsize >= SHARED_MEMORY_RESERVE:
                return tempfile.mkdtemp(prefix="eidolon-%s-" % os.path.basename(self.name), dir=SHARED_MEMORY)
        except OSError:
            pass
        os.makedirs(base)
        return base

    def new_disk(self, name, size):
        """The path of a fresh sparse file that lives as long as this machine."""
        return sparse_file(os.path.join(self.disks, name + ".img"), size)

    def new_id(self, kind):
        number = self._count.get(kind, 0)
        self._count[kind] = number + 1
        return "%s%d" % (kind, number)

    def _block(self, device, path, *, snapshot=False, read_only=False, inject=None, throttle=None, file_options=None):
        """The -blockdev below a device. inject: a list of blkdebug rules, {"event": "read_aio", "iotype": "read",
        "sector": 2048, "errno": 5, "once": False} (sector: in 512 bytes, without it every one). throttle:
        {"iops_total": 100, "bps_total": ...}, {} for none yet (see set_throttle). snapshot: writes go to an overlay."""
        node = {"driver": "file", "filename": os.path.realpath(path), **(file_options or {})}
        if read_only or snapshot:
            node["locking"] = "off"
        if snapshot:
            overlay = os.path.join(self.disks, device + ".qcow2")
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", os.path.realpath(path), overlay],
                           check=True)
            node = {"driver": "file", "filename": overlay}
            backing = {"driver": "raw", "read-only": True,
                       "file": {"driver": "file", "filename": os.path.realpath(path), "locking": "off"}}
        if inject is not None:
            rules = [{"event": "read_aio" if rule.get("iotype") != "write" else "write_aio", "errno": 5, **rule} for rule in inject]
            node = {"driver": "blkdebug", "image": node, "inject-error": rules}
        node = {"driver": "qcow2", "file": node, "backing": backing} if snapshot else {"driver": "raw", "file": node}
        if throttle is not None:
            group = "throttle-" + device
            limits = {key.replace("_", "-"): value for key, value in throttle.items()}
            self.arguments += ["-object", json.dumps({"qom-type": "throttle-group", "id": group, "limits": limits})]
            node = {"driver": "throttle", "throttle-group": group, "file": node}
        node.update({"node-name": "disk-" + device, "read-only": read_only})
        if not read_only:
            node["discard"] = "unmap"
        self.arguments += ["-blockdev", json.dumps(node)]
        self._nodes[device] = node
        return node["node-name"]

    def _device(self, properties):
        self.arguments += ["-device", json.dumps({key: value for key, value in properties.items() if value is not None})]

    @staticmethod
    def _split(options):
        """Separates what belongs to the -blockdev from the properties of the device."""
        names = ("snapshot", "read_only", "inject", "throttle", "file_options")
        block = {key: options.pop(key) for key in names if key in options}
        return block, options

    def add_nvme(self, path, serial, namespaces=(), bootindex=None, **options):
        """An NVMe controller with one namespace, or more: namespaces=[path of n2, ...]. Properties of the controller (mdts=...)
        and of the namespaces (logical_block_size=4096, physical_block_size=...) may be mixed."""
        block, properties = self._split(options)
        device = self.new_id("nvme")
        controller = {key: properties.pop(key) for key in list(properties) if key in NVME_CONTROLLER_PROPERTIES}
        self._device({"driver": "nvme", "id": device, "serial": serial, **controller})
        for number, image in enumerate([path, *namespaces], 1):
            name = device if number == 1 else "%s-n%d" % (device, number)
            self._device({"driver": "nvme-ns", "id": device + "-ns%d" % number, "bus": device, "nsid": number,
                          "drive": self._block(name, image, **block), "bootindex": bootindex if number == 1 else None, **properties})
        return device

    def _ide(self, driver, path, options):
        block, properties = self._split(options)
        number = self._count.get("ide", 0)
        device = self.new_id("ide")
        if number > 5:
            raise ValueError("the board has six SATA ports")
        faults = {"rerror": "report", "werror": "report"} if driver == "ide-hd" else {}
        drive = self._block(device, path, **block) if path else None
        self._device({"driver": driver, "id": device, "bus": "ide.%d" % number, "drive": drive, **(faults if path else {}), **properties})
        return device

    def add_ahci_disk(self, path, serial, model=None, bootindex=None, **options):
        """A SATA disk on the board's AHCI controller (512e with physical_block_size=4096, logical_block_size=512)."""
        return self._ide("ide-hd", path, {"serial": serial, "model": model, "bootindex": bootindex, **options})

    def add_cdrom(self, path=None, **options):
        """A SATA CD drive, empty without a path."""
        return self._ide("ide-cd", path, {"read_only": True, **options} if path else options)

    def add_xhci(self, driver="qemu-xhci", **properties):
        """A USB 3 controller; the first is called by what needs one. Call it first to have another driver, such as nec-usb-xhci, or
        other properties: p2=8, p3=8 for more than four ports of each kind. Returns its id; what is plugged into it has bus=id + ".0"."""
        device = self.new_id("xhci").replace("xhci0", "xhci")
        self._has_xhci = True
        self._device({"driver": driver, "id": device, **properties})
        return device

    def _plug(self, properties):
        """Where a USB device goes: bus= and port= ("2", behind hubs "2.1.3") among its properties, else the first controller."""
        if not self._has_xhci:
            self.add_xhci()
        return {"bus": properties.pop("bus", "xhci.0"), "port": properties.pop("port", None)}

    def add_usb_storage(self, path, serial="USB0001", bootindex=None, **options):
        """A USB disk; with logical_block_size=4096 a 4Kn one."""
        block, properties = self._split(options)
        plug = self._plug(properties)
        if {"logical_block_size", "physical_block_size"} & set(properties):
            return self.add_usb_scsi("usb-bot", [path], serial, bootindex=bootindex, **plug, **block, **properties)
        device = self.new_id("usb")
        drive = self._block(device, path, **block)
        self._device({"driver": "usb-storage", "id": device, **plug, "serial": serial, "drive": drive, "bootindex": bootindex,
                      **{"removable": True, "rerror": "report", "werror": "report", **properties}})
        return device

    def add_usb_scsi(self, driver, paths, serial, bootindex=None, **options):
        """A USB disk by usb-bot or usb-uas with a logical unit for each path. The drive of unit N is the node "disk-ID" or "disk-ID-N"."""
        block, properties = self._split(options)
        plug = self._plug(properties)
        device = self.new_id("usb")
        self._device({"driver": driver, "id": device, **plug, "serial": serial})
        for lun, path in enumerate(paths):
            name = device if lun == 0 else "%s-%d" % (device, lun)
            self._device({"driver": "scsi-hd", "id": name + "-disk", "bus": device + ".0", "scsi-id": 0, "lun": lun,
                          "drive": self._block(name, path, **block), "serial": serial, "bootindex": None if lun else bootindex,
                          "rerror": "report", "werror": "report", **properties})
        return device

    def add_uas(self, path, serial, **options):
        """A USB disk that speaks UAS alone: OVMF does not see it."""
        return self.add_usb_scsi("usb-uas", [path], serial, **options)

    def add_usb_hub(self, **options):
        """A full-speed hub of eight ports; what is plugged into it has port=the hub's port + ".1"."""
        plug = self._plug(options)
        device = self.new_id("hub")
        self._device({"driver": "usb-hub", "id": device, **plug, **options})
        return device

    def add_usb_keyboard(self, **options):
        """It takes all keys from the PS/2 one."""
        plug = self._plug(options)
        device = self.new_id("keyboard")
        self._device({"driver": "usb-kbd", "id": device, **plug, **options})
        return device

    def plug_in_again(self, device, driver, serial, **properties):
        """A USB disk that was unplugged comes back on the same file; driver: usb-storage, usb-bot or usb-uas. Returns its new id."""
        again = device + "-again"
        # A drive of its own: the one of the device that left may still be held (see unplug).
        node = self._nodes[device]
        assert node["driver"] == "raw" and node["file"]["driver"] == "file", "a plain file: " + device
        node = {**node, "node-name": "disk-" + again, "file": {**node["file"], "locking": "off"}}
        self.qmp("blockdev-add", **node)
        if driver == "usb-storage":
            self.qmp("device_add", driver=driver, id=again, bus="xhci.0", serial=serial, drive=node["node-name"], rerror="report",
                     werror="report", **properties)
            return again
        # Its disk must be there before the machine sees it.
        self.qmp("device_add", driver=driver, id=again, bus="xhci.0", serial=serial, attached=False)
        self.qmp("device_add", driver="scsi-hd", id=again + "-disk", bus=again + ".0", scsi_id=0, lun=0, drive=node["node-name"],
                 serial=serial, rerror="report", werror="report", **properties)
        self.qmp("qom-set", path="/machine/peripheral/" + again, property="attached", value=True)
        return again

    def add_virtio_blk(self, path, serial, **options):
        """A disk that only the firmware's block I/O reaches."""
        block, properties = self._split(options)
        device = self.new_id("virtio")
        self._device({"driver": "virtio-blk-pci", "id": device, "serial": serial, "drive": self._block(device, path, **block), **properties})
        return device

    def new_stick(self, *, files=None, size=64, application=None):
        """The path of a fresh bootable image of `size` MiB with the application and `files` ({path: text or bytes}). Any disk may
        carry it; read_stick_file() reads from it."""
        path = os.path.join(self.disks, self.new_id("stick") + ".img")
        command = [os.path.join(REPOSITORY, "tools/make_stick.sh"), "--size", str(size), path,
                   application or os.path.join(BUILD, "eidolon.efi")]
        for number, (place, contents) in enumerate((files or {}).items()):
            source = os.path.join(self.disks, "file%d" % number)
            with open(source, "wb") as file:
                file.write(contents.encode() if isinstance(contents, str) else contents)
            command.append("%s:%s" % (source, place))
        subprocess.run(command, check=True)
        self.stick_path = path
        return path

    def add_stick(self, path=None, *, files=None, size=64, application=None, serial="STICK", bootindex=0, **options):
        """A USB stick that boots: path, or a new_stick(). Its file is m.stick_path."""
        self.stick_path = path or self.new_stick(files=files, size=size, application=application)
        return self.add_usb_storage(self.stick_path, serial=serial, bootindex=bootindex, **options)

    def read_stick_file(self, place, path=None):
        """A file from the stick's FAT partition after the machine has ended, as bytes."""
        environment = dict(os.environ, MTOOLS_SKIP_CHECK="1")
        return subprocess.run(["mtype", "-i", (path or self.stick_path) + "@@1M", "::" + place], check=True,
                              capture_output=True, env=environment).stdout
