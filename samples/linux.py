"""A Linux guest with as much of a kernel as its symbols need: image, kallsyms, names of the system, CPUs, a module.

Facts: include/uapi/linux/utsname.h, init/version.c (banner), include/linux/module.h and kallsyms.h (struct module,
struct mod_kallsyms), arch/x86/include/asm/percpu.h; the layout of the image as /proc/kallsyms of real kernels shows it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from samples.kallsyms import FORMS, Entry, Form, Tables, build
from samples.memory import LEGACY, LONG, Bit, Frames, PageTables, Space
from samples.xen_core import Core, context, write_elf

RELEASE, VERSION = "6.1.0-99-sample", "#1 SMP PREEMPT_DYNAMIC Sample 6.1.99-1 (2026-01-01)"
HOST = "sample-host"
TEXT_FLAGS = int(Bit.PRESENT | Bit.ACCESSED)
CALL = b"\xe8"


@dataclass
class LinuxGuest:
    """What is planned of the guest; `write` makes an ELF core of it."""

    form: Form = field(default_factory=lambda: FORMS["6.1"])
    offset: int = 0
    """KASLR's: where the image lies above its usual place."""
    functions: int = 700
    """Functions besides the planned ones: more than two blocks of names."""
    paravirtual: bool = False
    isolated: bool = False
    """Whether the second CPU is in user mode with the table of page table isolation's user half."""
    module: bool = True
    with_vmcoreinfo: bool = False
    """Whether VMCOREINFO lies in memory, in a page outside the image."""
    more_variables: tuple[str, ...] = ()
    """Names of variables besides the planned ones (three at most), each in a page of its own."""

    entries: list[Entry] = field(init=False, default_factory=list)
    tables: Tables = field(init=False)
    places: dict[str, int] = field(init=False, default_factory=dict)
    """Name -> address of what is planned."""

    @property
    def bits(self) -> int:
        """Width of the kernel."""
        return self.form.bits

    @property
    def base(self) -> int:
        """Address of the image."""
        return (0xFFFFFFFF81000000 if self.bits == 64 else 0xC1000000) + self.offset

    def plan(self) -> None:
        """Decide on all addresses."""
        text, data = self.base, self.base + 0x800000
        self.entries, self.places = [], {}
        if self.form.percpu:
            self.entries += [(0, "A", "fixed_percpu_data"), (0, "A", "__per_cpu_start"), (0x1FB80, "A", "current_task")]
        self.entries += [(text, "T", "_text"), (text, "T", "startup_64"), (text, "T", "_stext")]
        names = ["digits_0123456789", "cpu_idle", "cpu_startup_entry", "secondary_startup_64"]
        rounds, verbs, nouns = range(-(-self.functions // 9)), ("get", "put", "do"), ("page", "inode", "request")
        names += [f"{v}_{n}_{number}" for number in rounds for v in verbs for n in nouns][: self.functions]
        for number, name in enumerate(names):
            self.places[name] = text + 0x1000 + 0x40 * number
            letter = "T" if number % 3 else "t"
            self.entries.append((self.places[name], letter, name))
        last = max(self.places.values()) + 0x40
        self.places["text end"] = last + 0x40
        # namesakes, an alias, and names that are long
        self.entries += [(last, "t", "get_page_0"), (last + 16, "T", "alias_one"), (last + 16, "W", "alias_two")]
        if self.form.long_names:
            self.entries.append((last + 32, "T", "".join(chr(97 + number * 7 % 26) for number in range(300))))
        self.entries.append((last + 64, "T", "_etext"))
        self.places["linux_banner"] = text + 0x400000
        self.entries.append((self.places["linux_banner"], "R", "linux_banner"))
        variables = ("init_uts_ns", "__per_cpu_offset", "modules", "panic_cpu", "vmcoreinfo_data", *self.more_variables)
        for number, name in enumerate(variables):
            self.places[name] = data + 0x1000 * number
            self.entries.append((self.places[name], "D", name))
        self.entries.append((data + 0x8000, "B", "_end"))
        self.places["kallsyms"] = self.base + 0x402008
        self.tables = build(self.entries, self.form, text, self.places["kallsyms"])

    # writing

    def memory(self) -> tuple[Space, Sequence[dict[str, int]]]:
        """Its memory, and the registers of its CPUs."""
        self.plan()
        frames = Frames(self.paravirtual, first_mfn=0x10000)
        pages = PageTables(frames, LONG if self.bits == 64 else LEGACY)
        # With page table isolation the user half's table, here an empty one, lies behind the kernel's.
        user = frames.take() if self.isolated else pages.root
        space = Space(pages, TEXT_FLAGS)
        self._text(space)
        space.flags = TEXT_FLAGS | self._no_execute
        self._constants(space)
        space.flags = TEXT_FLAGS | self._no_execute | int(Bit.WRITE)
        self._variables(space)
        return space, self._registers(frames.number(pages.root), frames.number(user))

    def write(self, path: Path) -> Path:
        """Write the guest as a core of Xen's."""
        space, registers = self.memory()
        frames = space.frames
        core = Core(
            [context(one, 64 if self.bits == 64 or not self.paravirtual else 32) for one in registers],
            [(pfn, frames.number(pfn)) for pfn in frames],
            frames.pages,
            self.paravirtual,
            64 if self.bits == 64 or not self.paravirtual else 32,
        )
        return write_elf(path, core)

    @property
    def _no_execute(self) -> int:
        return int(Bit.NO_EXECUTE) if self.bits == 64 else 0

    def _text(self, space: Space) -> None:
        space.ensure(self.base, self.places["text end"] - self.base)
        # cpu_startup_entry calls cpu_idle, secondary_startup_64 calls cpu_startup_entry
        for caller, callee in (("cpu_startup_entry", "cpu_idle"), ("secondary_startup_64", "cpu_startup_entry")):
            at = self.places[caller] + 0x10
            distance = self.places[callee] - (at + 5)
            space.write(at, CALL + distance.to_bytes(4, "little", signed=True))
            self.places[f"behind the call in {caller}"] = at + 5

    def _constants(self, space: Space) -> None:
        banner = f"Linux version {RELEASE} (builder@sample) (gcc 12, GNU ld 2.40) {VERSION}\n"
        # What the final link replaces stands before it: without a number, and no symbol's.
        space.write(self.base + 0x3FF000, banner.replace("#1", "#").encode())
        space.write(self.places["linux_banner"], banner.encode() + b"\0")
        # Strings of digits that are no token table.
        space.write(self.base + 0x401000, b"\0".join(b"%d" % digit for digit in range(20)))
        space.write(self.places["kallsyms"], bytes(self.tables.data))

    def _variables(self, space: Space) -> None:
        names = ("Linux", HOST, RELEASE, VERSION, "x86_64", "(none)")
        space.write(self.places["init_uts_ns"], b"".join(name.encode().ljust(65, b"\0") for name in names))
        space.write(self.places["panic_cpu"], struct.pack("<i", -1))
        if self.bits == 64:
            areas = [0xFFFF888000100000 + 0x100000 * number for number in range(2)]
            # the second context is of CPU 0
            space.write(self.places["__per_cpu_offset"], struct.pack("<2Q", *areas))
            for number, area in enumerate(areas):
                space.write(area + 0x1FB80, struct.pack("<Q", 0xFFFF888000A00000 + 0x1000 * number))
        self._stack(space)
        if self.module and self.bits == 64:
            self._module(space)
        if self.with_vmcoreinfo:
            self._vmcoreinfo(space)

    def _stack(self, space: Space) -> None:
        """A stack of 16K: frames of a chain of calls, and one that is left over from before."""
        word, top = self.bits // 8, (0xFFFFC90000014000 if self.bits == 64 else 0xC8014000)
        self.places["stack top"] = top
        sp = self.places["sp"] = top - 0x200
        words = {0x10: self.places["cpu_idle"] + 3, 0x20: self.places["behind the call in cpu_startup_entry"],
                 0x38: self.places["behind the call in cpu_startup_entry"],
                 0x60: self.places["behind the call in secondary_startup_64"]}  # fmt: skip
        space.ensure(top - 0x4000, 0x4000)
        for offset, value in words.items():
            space.write(sp + offset, value.to_bytes(word, "little"))

    def _module(self, space: Space) -> None:
        area = self.places["module"] = 0xFFFFFFFFC0201000
        head, struct_at = self.places["modules"], area + 0x2000
        tables_at, symbols_at, strings_at = struct_at + 0x300, area + 0x3000, area + 0x3800
        space.ensure(area, 0x1000, TEXT_FLAGS)
        names = b"\0sample_init\0sample_data\0"
        symbols = [(0, 0, 0, 0, 0, 0), (1, 2, 0, 1, area + 0x10, 0x20), (13, 1, 0, 2, struct_at + 0x800, 8)]
        space.write(symbols_at, b"".join(struct.pack("<IBBHQQ", *symbol) for symbol in symbols))
        space.write(strings_at, names)
        space.write(tables_at, struct.pack("<QIIQ", symbols_at, len(symbols), 0, strings_at))
        space.write(head, struct.pack("<2Q", struct_at + 8, struct_at + 8))
        data = struct.pack("<IIQQ", 0, 0, head, head) + b"sample_module".ljust(56, b"\0")
        data += struct.pack("<4Q", 0, struct_at + 0x123, 0xFFFFFFFFC0000001, 5)
        data += struct.pack("<QIIII", area, 0x4000, 0x1000, 0, 0)
        space.write(struct_at, data.ljust(0x200, b"\0") + struct.pack("<Q", tables_at))
        space.ensure(area, 0x4000)

    def _vmcoreinfo(self, space: Space) -> None:
        lines = [f"OSRELEASE={RELEASE}", "PAGESIZE=4096"]
        lines += [f"SYMBOL({name})={self.places['kallsyms'] + at:x}" for name, at in self.tables.places.items()]
        at = 0xFFFF888000B00000 if self.bits == 64 else 0xC9000000
        space.write(at, "\n".join(lines).encode())

    def _registers(self, number: int, user_number: int) -> Sequence[dict[str, int]]:
        shared = {"cr0": 0x80050033, "cr4": 0x20 if self.bits == 64 else 0x10, "cr3": number << 12}
        names = ("rip", "rsp", "rbp") if self.bits == 64 or not self.paravirtual else ("eip", "esp", "ebp")
        kernel = dict(zip(names, (self.places["cpu_idle"] + 8, self.places["sp"], 0x1234), strict=True))
        user = dict(zip(names, (0x401000, 0x7FFE0000, 0), strict=True))
        areas = [0xFFFF888000200000, 0xFFFF888000100000] if self.bits == 64 else [0, 0]
        found = [shared | kernel, shared | user | {"cr3": user_number << 12}]
        if self.bits == 64:
            for one, area in zip(found, areas, strict=True):
                one["gs_base"] = area
        return found
