"""The dump of a whole Xen host: a hypervisor with two CPUs, and a Linux as domain 0 above it.

    XenHost().write(path)                 # as the crash kernel sees it: /proc/vmcore with the hypervisor's notes
    XenHost(qemu=True).write(path)        # as QEMU dumps the machine: no word of the hypervisor's

CPU 0 was idle and was stopped by an NMI; CPU 1 came from domain 0 by a hypercall and started the crash kernel.

Facts: Xen's xen/include/xen/elfcore.h and asm-x86/elf.h (the notes), xen/common/kexec.c (VMCOREINFO_XEN),
xen/tools/symbols.c (its symbol table), asm-x86/config.h (slots of the top table), asm-x86/current.h (struct cpu_info at
the end of a stack of 32 KB), public/arch-x86/xen-x86_64.h (struct cpu_user_regs), public/arch-x86/xen.h
(pfn_to_mfn_frame_list_list). Offsets in struct vcpu and struct domain: those of 4.17, as a real host shows them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from samples.dump_notes import EM_X86_64, note, qemu_state, status, vmcoreinfo
from samples.elf_dump import ElfDump, Load
from samples.kallsyms import BLOCK, compress
from samples.linux import RELEASE, LinuxGuest
from samples.memory import LONG, PAGE, Bit, Frames, PageTables, Space

START = 0xFFFF82D040000000
"""XEN_VIRT_START of Xen 4.17."""
DIRECT = 0xFFFF830000000000
KERNEL_MAP = 0xFFFFFFFF80000000
"""__START_KERNEL_map of Linux."""
TEXT = START + 0x200000
RODATA, DATA = TEXT + 0x100000, TEXT + 0x200000
STACK = 0x8000
BUILD = bytes(range(20))
VERSION, COMPILER = (4, 17, ".7"), "sample-gcc 12"
INVALID = (1 << 64) - 1
USER_REGISTERS = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi error_code rip cs rflags rsp ss es ds fs gs".split()
)


@dataclass
class XenHost:
    """What is planned of the host."""

    qemu: bool = False
    own_symbols: bool = True
    """Whether the hypervisor has its own symbol table."""
    vcpus_known: bool = True
    """Whether domain 0's structure leads to its vCPUs, and these to their page tables."""
    dom0_alone: bool = False
    """Whether the dump holds domain 0's pages alone, and its VMCOREINFO tells where its tables are."""
    linux: bool = True
    """Whether domain 0 runs the Linux guest; else nobody knows what it runs."""

    guest: LinuxGuest = field(init=False)
    places: dict[str, int] = field(init=False, default_factory=dict)
    """Name -> address of what is planned in the hypervisor."""
    frames: dict[int, bytes] = field(init=False, default_factory=dict)
    """Machine frame -> page."""
    mfns: dict[int, int] = field(init=False, default_factory=dict)
    """Pfn of domain 0 -> machine frame."""
    registers: list[dict[str, int]] = field(init=False, default_factory=list)
    names: set[str] = field(init=False, default_factory=set)
    """Those of the hypervisor's symbols, but `_stext`."""
    guest_registers: dict[str, int] = field(init=False, default_factory=dict)
    """Those with which CPU 1's vCPU entered the hypervisor."""

    def write(self, path: Path) -> Path:
        """Write the dump."""
        self._build()
        loads = [Load(first * PAGE, data) for first, data in _runs(self.frames)]
        ElfDump(loads, self.notes(), qemu=self.qemu).write(path)
        return path

    def write_symbols(self, path: Path, build: bytes = BUILD) -> Path:
        """Write the hypervisor's symbols as an ELF file (xen-syms), of the build with that identifier."""
        path.write_bytes(_elf(self.symbols, self.places["build id"], _build_note(build)))
        return path

    # memory

    def _build(self) -> None:
        self.guest = LinuxGuest(paravirtual=True, more_variables=("xen_p2m_addr", "xen_max_p2m_pfn"))
        upper, vcpus = self.guest.memory()
        mine = Frames(False, first_pfn=0x200)
        tables = PageTables(mine, LONG)
        space = Space(tables, int(Bit.PRESENT | Bit.ACCESSED))
        self._text(space)
        space.flags |= int(Bit.NO_EXECUTE)
        self._constants(space)
        space.flags |= int(Bit.WRITE)
        self._variables(space)
        self.guest_registers = {name: 0x1000 + 8 * at for at, name in enumerate(USER_REGISTERS[:15])}
        self.guest_registers |= {"rip": vcpus[0]["rip"], "cs": 0xE033, "rflags": 0x246, "rsp": vcpus[0]["rsp"],
                                 "ss": 0xE02B, "es": 0, "ds": 0, "fs": 0, "gs": 0, "error_code": 0}  # fmt: skip
        self._stacks(space)
        self._list(upper, mine)
        if self.vcpus_known:
            space.write(self.places["domain"] + 0x1F8, struct.pack("<Q", self.places["vcpu array"]))
            space.write(self.places["vcpu"] + 0x6A0, struct.pack("<Q", upper.frames.mfn(upper.tables.root)))
        # The hypervisor has its slots in every guest's top table.
        root = upper.frames.pages[upper.tables.root]
        root[256 * 8 : 272 * 8] = mine.pages[tables.root][256 * 8 : 272 * 8]
        if not self.linux:
            root[511 * 8 :] = bytes(8)
        kept = (self.top, self.middle) if self.dom0_alone else mine.pages
        self.frames = {mfn: bytes(mine.pages[mfn]) for mfn in kept}
        self.root_pfn = upper.tables.root
        self.mfns = {pfn: upper.frames.mfn(pfn) for pfn in upper.frames}
        self.frames |= {self.mfns[pfn]: bytes(upper.frames.pages[pfn]) for pfn in upper.frames}
        self._cpus(tables.root << 12, vcpus[0])
        self.machine = {name: mine_at(space, address) for name, address in self.places.items()}

    def _text(self, space: Space) -> None:
        names = ["_start", "idle_loop", "default_idle", "do_nmi", "handle_ist_exception", "kexec_crash_save_cpu",
                 "kexec_crash", "hwdom_shutdown", "do_sched_op", "pv_hypercall", "lstar_enter",
                 *(f"symbol_of_xen_{number}" for number in range(600))]  # fmt: skip
        for at, name in enumerate(names):
            self.places[name] = TEXT + 0x40 * at
        self.names = set(names)
        space.ensure(TEXT, 0x40 * (len(names) + 1))
        calls = (("kexec_crash", "kexec_crash_save_cpu"), ("hwdom_shutdown", "kexec_crash"),
                 ("do_sched_op", "hwdom_shutdown"), ("pv_hypercall", "do_sched_op"), ("lstar_enter", "pv_hypercall"),
                 ("do_nmi", "kexec_crash_save_cpu"), ("handle_ist_exception", "do_nmi"),
                 ("idle_loop", "default_idle"))  # fmt: skip
        for caller, callee in calls:
            at = self.places[caller] + 0x10
            distance = self.places[callee] - (at + 5)
            space.write(at, b"\xe8" + distance.to_bytes(4, "little", signed=True))
            self.places[f"behind the call in {caller}"] = at + 5

    @property
    def symbols(self) -> list[tuple[int, str, str]]:
        """(address, type letter, name) of the hypervisor's symbols, in order of the addresses."""
        names = [(at, name) for name, at in self.places.items() if name in self.names]
        found = [(at, "t" if "symbol_of" in name else "T" if at < RODATA else "D", name) for at, name in names]
        return sorted([*found, (TEXT, "T", "_stext")])

    def _constants(self, space: Space) -> None:
        for number, name in enumerate(("domain_list", "pgd_l4", "idt_table", "conring", "conring_size", "conringp")):
            self.places[name] = DATA + 0x1000 * number
            self.names.add(name)
        self.places["build id"] = RODATA + 0x80000
        space.write(self.places["build id"], _build_note(BUILD))
        for number, text in enumerate((VERSION[2], "a changeset", COMPILER, "Thu Jan  1 2026", "00:00:00")):
            self.places[f"text {number}"] = RODATA + 0x81000 + 0x40 * number
            space.write(self.places[f"text {number}"], text.encode() + b"\0")
        if self.own_symbols:
            space.write(RODATA + 0x100, own_table(self.symbols))

    def _variables(self, space: Space) -> None:
        self.places["domain"], self.places["idle domain"] = DIRECT + 0x100000, DIRECT + 0x102000
        space.write(self.places["domain_list"], struct.pack("<Q", self.places["domain"]))
        space.write(self.places["domain"], struct.pack("<H", 0).ljust(PAGE, b"\0"))
        space.write(self.places["idle domain"], struct.pack("<H", 0x7FFF).ljust(256, b"\0"))
        for number, (name, domain) in enumerate((("idle vcpu", "idle domain"), ("vcpu", "domain"))):
            self.places[name] = DIRECT + 0x110000 + 0x1000 * number
            # id, CPU, vcpu_info, domain
            words = struct.pack("<IIQQ", number, number, DIRECT + 0x120000, self.places[domain])
            space.write(self.places[name], words.ljust(PAGE, b"\0"))
        space.write(DIRECT + 0x120000, bytes(64))
        self.places["vcpu array"] = DIRECT + 0x128000
        space.write(self.places["vcpu array"], struct.pack("<2Q", 0, self.places["vcpu"]).ljust(PAGE, b"\0"))
        self.places["messages"] = DIRECT + 0x130000
        message = f"(XEN) Xen version {VERSION[0]}.{VERSION[1]}{VERSION[2]} (a sample)\n"
        newest = "(XEN) Shot down all CPUs\n"  # the buffer has begun again: the oldest lies behind it
        space.write(self.places["messages"], (newest + message).encode().ljust(PAGE, b"\0"))
        space.write(self.places["conringp"], struct.pack("<I", PAGE + len(newest)))
        space.write(self.places["conring"], struct.pack("<Q", self.places["messages"]))
        space.write(self.places["conring_size"], struct.pack("<I", PAGE))
        space.write(self.places["idt_table"], bytes(PAGE))
        space.write(self.places["pgd_l4"], bytes(PAGE))

    def _stacks(self, space: Space) -> None:
        """Of CPU 0 with an NMI's part, and of CPU 1 with a hypercall."""
        for number, vcpu in enumerate(("idle vcpu", "vcpu")):
            base = DIRECT + 0x140000 + STACK * number
            space.ensure(base, STACK)
            info = base + STACK - 0x108
            self.places[f"stack {number}"], self.places[f"cpu info {number}"] = base, info
            values = self.guest_registers if number else {"cs": 0xE033}
            space.write(info, struct.pack("<25Q", *(values.get(name, 0) for name in USER_REGISTERS)))
            space.write(info + 200, struct.pack("<IIQ", number, 0, self.places[vcpu]))
        # CPU 0: the NMI's stack is the second page
        nmi, idle = self.places["stack 0"] + 0x1F00, self.places["cpu info 0"] - 0x80
        self.places["sp 0"], self.places["idle sp"] = nmi, idle
        space.write(nmi + 8, struct.pack("<Q", self.places["behind the call in do_nmi"]))
        space.write(nmi + 0x20, struct.pack("<Q", self.places["behind the call in handle_ist_exception"]))
        interrupted = (self.places["default_idle"] + 6, 0xE008, 0x246, idle, 0)
        space.write(self.places["stack 0"] + 0x2000 - 40, struct.pack("<5Q", *interrupted))
        space.write(idle + 0x18, struct.pack("<Q", self.places["behind the call in idle_loop"]))
        space.write(idle + 0x30, struct.pack("<Q", self.places["behind the call in lstar_enter"]))  # left over
        # CPU 1
        self.places["sp 1"] = self.places["cpu info 1"] - 0x100
        for at, name in enumerate(("kexec_crash", "hwdom_shutdown", "do_sched_op", "pv_hypercall", "lstar_enter")):
            place = self.places["sp 1"] + 0x10 + 0x28 * at
            space.write(place, struct.pack("<Q", self.places[f"behind the call in {name}"]))

    def _list(self, upper: Space, mine: Frames) -> None:
        """Domain 0's list of machine frames: its own pages, and above them those that hold machine frames."""
        address = 0xFFFF888000D00000
        leaves, most = -(-(max(upper.frames) + 1) // 512) + 2, 0
        upper.ensure(address, leaves * PAGE)
        upper.write(self.guest.places["xen_p2m_addr"], struct.pack("<Q", address))
        upper.ensure(self.guest.places["xen_max_p2m_pfn"], 8)
        entries = [INVALID] * (512 * leaves)
        for pfn in upper.frames:
            entries[pfn], most = upper.frames.mfn(pfn), pfn
        entries[0x10] = 1 << 62 | 0x10  # identity: no page of its own
        upper.write(address, struct.pack(f"<{len(entries)}Q", *entries))
        upper.write(self.guest.places["xen_max_p2m_pfn"], struct.pack("<Q", most + 1))
        self.middle, self.top = mine.take(), mine.take()
        middle = self.middle
        numbers = [upper.frames.mfn(upper.pages[address // PAGE + at]) for at in range(leaves)]
        mine.pages[middle][: 8 * leaves] = struct.pack(f"<{leaves}Q", *numbers)
        mine.pages[middle][8 * leaves :] = b"\xff" * (PAGE - 8 * leaves)
        mine.pages[self.top][:] = struct.pack("<512Q", middle, *[INVALID] * 511)

    def _cpus(self, idle_root: int, vcpu: dict[str, int]) -> None:
        pc = self.places["kexec_crash_save_cpu"] + 0x20
        control = {"cr0": 0x80050033, "cr2": 0x1234, "cr4": 0x150660}
        if self.dom0_alone:  # what ran then was another domain
            vcpu = vcpu | {"cr3": idle_root}
        first = {"rip": pc, "rsp": self.places["sp 0"], "cr3": idle_root}
        second = {"rip": pc, "rsp": self.places["sp 1"], "cr3": idle_root if self.qemu else vcpu["cr3"],
                  "gs_base": vcpu["gs_base"]}  # fmt: skip
        shared = {"cs": 0xE008, "ss": 0, "rflags": 0x2, "idt_base": self.places["idt_table"], **control}
        self.registers = [shared | first, shared | second]

    # notes

    def notes(self) -> bytes:
        """The dump's notes."""
        if self.qemu:
            found = b"".join(status(EM_X86_64, one, at + 1) for at, one in enumerate(self.registers))
            return found + b"".join(qemu_state(one) for one in self.registers)
        texts = [self.machine[f"text {number}"] for number in range(5)]
        # The image is not in one piece here; its start is where the notes would have it for the top table.
        start = self.machine["pgd_l4"] - (self.places["pgd_l4"] - START)
        info = struct.pack("<10Q", VERSION[0], VERSION[1], *texts, 0, start & INVALID, self.top)
        found = b""
        for number, one in enumerate(self.registers):
            found += status(EM_X86_64, one)
            found += note("Xen", 0x1000002, struct.pack("<4Q", *(one[name] for name in ("cr0", "cr2", "cr3", "cr4"))))
            found += note("Xen", 0x1000001, info) if not number else b""
        told = {"PAGESIZE": "4096", "SYMBOL(domain_list)": f"{self.places['domain_list']:x}",
                "OFFSET(domain.domain_id)": "0", "OFFSET(domain.next_in_list)": "136",
                "SYMBOL(pgd_l4)": f"{self.places['pgd_l4']:x}"}  # fmt: skip
        if self.dom0_alone:
            told_by_linux = {"OSRELEASE": RELEASE, "SYMBOL(init_level4_pgt)": f"{KERNEL_MAP + self.root_pfn * PAGE:x}"}
            found += note("VMCOREINFO", 0, vmcoreinfo(told_by_linux))
        return found + note("VMCOREINFO_XEN", 0, vmcoreinfo(told).ljust(1024, b"\0"))


def own_table(symbols: list[tuple[int, str, str]]) -> bytes:
    """The hypervisor's own table of symbols; local ones carry their source file."""
    spelt = [(letter + ("common/sample.c#" if letter == "t" else "") + name).encode() for _, letter, name in symbols]
    packed, tokens = compress(spelt)
    names, markers, strings, index = bytearray(), [], bytearray(), []
    for number, name in enumerate(packed):
        if number % BLOCK == 0:
            markers.append(len(names))
        names += bytes((len(name),)) + name
    for token in tokens:
        index.append(len(strings))
        strings += token + b"\0"
    parts = [
        struct.pack(f"<{len(symbols)}I", *(address - START for address, _, _ in symbols)),
        struct.pack("<I", len(symbols)),
        bytes(names),
        struct.pack(f"<{len(markers)}I", *markers),
        bytes(strings),
        struct.pack("<256H", *index),
    ]
    return b"".join(part + bytes(-len(part) % 4) for part in parts)


def mine_at(space: Space, address: int) -> int:
    """Machine address of an address of the hypervisor's; 0 where nothing is there."""
    pfn = space.pages.get(address // PAGE)
    return 0 if pfn is None else pfn * PAGE + address % PAGE


def _build_note(build: bytes) -> bytes:
    return struct.pack("<3I", 4, len(build), 3) + b"GNU\0" + build


def _runs(frames: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """(first frame, bytes) of each run of frames."""
    first, data = -1, bytearray()
    for frame in sorted(frames):
        if first >= 0 and frame != first + len(data) // PAGE:
            yield first, bytes(data)
            first = -1
        if first < 0:
            first, data = frame, bytearray()
        data += frames[frame]
    if first >= 0:
        yield first, bytes(data)


def _elf(symbols: list[tuple[int, str, str]], note_at: int, build: bytes) -> bytes:
    """An ELF file with .symtab, .strtab and .note.gnu.build-id."""
    table, strings = bytearray(24), bytearray(b"\0")
    for address, letter, name in symbols:
        info = (0 if letter.islower() else 1) << 4 | (2 if letter in "tT" else 1)
        table += struct.pack("<IBBHQQ", len(strings), info, 0, 1, address, 0x40)
        strings += name.encode() + b"\0"
    names = b"\0.symtab\0.strtab\0.shstrtab\0.note.gnu.build-id\0"
    at, parts, rows = 64 + 5 * 64, b"", [bytes(64)]
    for name_at, kind, address, data, link in (
        (1, 2, 0, bytes(table), 2), (9, 3, 0, bytes(strings), 0), (17, 3, 0, names, 0), (27, 7, note_at, build, 0)
    ):  # fmt: skip
        rows.append(struct.pack("<IIQQQQIIQQ", name_at, kind, 0, address, at + len(parts), len(data), link, 1, 8, 24))
        parts += data + bytes(-len(data) % 8)
    head = (
        b"\x7fELF"
        + bytes((2, 1, 1))
        + bytes(9)
        + struct.pack("<HHI3QI6H", 2, 62, 1, TEXT, 0, 64, 0, 64, 0, 0, 64, 5, 3)
    )
    return head + b"".join(rows) + parts
