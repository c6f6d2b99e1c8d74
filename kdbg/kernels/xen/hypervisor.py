"""The hypervisor in the dump of a Xen host: where it is mapped, its names, what each CPU was doing in it.

A 64-bit Xen is mapped in the upper part of slot 261 of every address space, so the tables that a CPU used lead to it
and to the guest that it ran. Each CPU has a stack of 32 KB whose end is a ``struct cpu_info``: the registers of the
guest as it entered the hypervisor, the CPU's number, the vCPU that is on it.

Sources: xen/include/asm-x86/config.h (layout), current.h (struct cpu_info, STACK_ORDER), public/arch-x86/xen-x86_64.h
(struct cpu_user_regs), xen/include/xen/sched.h (struct vcpu, struct domain), xen/common/kexec.c (what its VMCOREINFO
tells), public/xen.h (DOMID_*).
"""

from __future__ import annotations

import functools
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.formats.image import PAGE
from kdbg.formats.xen_host import HYPERVISOR_CS, XenHost
from kdbg.kernels.stackscan import CALL, Machine, scan
from kdbg.kernels.xen.symbols import MODULE, of_file, of_memory
from kdbg.records import Frame
from kdbg.symbols.table import STT_FUNC, Symbol, Symbols, SymbolTable
from kdbg.vm.modes import NO_EXECUTE, X86_64
from kdbg.vm.space import AddressSpace

if TYPE_CHECKING:
    from kdbg.dump import Dump

DIRECT_MAP = (0xFFFF_8300_0000_0000, 0xFFFF_8880_0000_0000)
"""All memory, from slot 262 on."""
REGION = 1 << 30
"""The image lies in a gigabyte of its own (XEN_VIRT_START, XEN_VIRT_END)."""
MOST_IMAGE = 64 << 20
STACK = 1 << 15
"""Bytes of a CPU's stack: STACK_ORDER 3."""
CPU_INFO = 1024
"""Bytes at its end in which struct cpu_info begins."""
USER_REGISTERS = ("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
                  "error_code", "rip", "cs", "rflags", "rsp", "ss", "es", "ds", "fs", "gs")  # fmt: skip
"""Struct cpu_user_regs by words; behind it in struct cpu_info: the CPU's number, its vCPU."""
SELECTORS = frozenset({"cs", "ss", "es", "ds", "fs", "gs"})
MOST_CPUS, MOST_DOMAINS = 8192, 1 << 15
DOMID_IDLE = 0x7FFF
VCPU_WORDS = 8
"""Words at the start of struct vcpu among which the pointer to its domain is: id and CPU first."""
MOST_FIRST = 8
"""Entries of an array of vCPUs that are looked at."""
VCPU_SIZE = PAGE
"""Bytes of a struct vcpu that are looked at (alloc_vcpu_struct: a page, or more)."""
INVALID = (1 << 64) - 1
MOST_PARTS = 8
MOST_CONSOLE = 64 << 20

CRASHING = "kexec_crash"
"""Function in which the CPU is that starts the crash kernel."""
INTERRUPTED = "interrupted here"
IN_GUEST = "the hypervisor was entered from {} here"
IDLE = "the CPU was idle"

_VERSION = re.compile(rb"Xen version (\d+\.\d+[\w.+-]*)")


@dataclass(frozen=True, slots=True)
class Running:
    """What the hypervisor had on a CPU."""

    cpu: int
    vcpu: int
    """Address of its struct vcpu."""
    number: int
    domain: int | None
    """Its domain's id, `DOMID_IDLE` where the CPU was idle; None where that is not known."""
    place: int
    """Where the guest's registers lie: the CPU's stack ends there."""
    guest: Mapping[str, int]
    """Registers of the guest as they were when it last entered the hypervisor."""

    @property
    def name(self) -> str:
        """As the hypervisor writes it: ``d0v1``."""
        domain = "?" if self.domain is None else "[IDLE]" if self.domain == DOMID_IDLE else self.domain
        return f"d{domain}v{self.number}"


class Hypervisor:
    """The hypervisor of a host."""

    def __init__(self, target: Dump, host: XenHost, space: AddressSpace, start: int) -> None:
        self.target = target
        self.host = host
        self.space = space
        """Of a CPU, through which it is seen."""
        self.start = start
        """Address from which its image is mapped (XEN_VIRT_START)."""

    @classmethod
    def find(cls, target: Dump) -> Hypervisor | None:
        """The hypervisor, if the dump is one of a host and shows where its image is mapped."""
        host = target.image.host
        if host is None:
            return None
        for address in host.addresses():
            for space in _spaces(target, host, address & -REGION):
                if space.walk(address).page_address is not None:
                    return cls(target, host, space, address & -REGION)
        return None

    # its image and its names

    @functools.cached_property
    def image(self) -> bytes:
        """The bytes of its image from `start` on, zeros where nothing is mapped or in the dump: to search in."""
        data, peek = bytearray(), self.target.image.peek
        for run in self.space.runs(self.start, self.start + MOST_IMAGE):
            at, end = run.address - self.start, min(run.address - self.start + run.size, MOST_IMAGE)
            data.extend(bytes(max(0, end - len(data))))
            for offset in range(at, end, PAGE):
                try:
                    page = peek(self.space.page_address(self.start + offset) >> 12)
                except ReadError:
                    continue
                if page is not None:
                    data[offset : offset + PAGE] = page
        return bytes(data)

    @functools.cached_property
    def table(self) -> SymbolTable | None:
        """Its symbols: of a file given with the dump, else its own table; None where there are none."""
        for path in (*self.target.beside, *self.target.symbol_files):
            table = self._of_file(path)
            if table is not None:
                return table
        found = of_memory(self.start, self.image)
        if found is None:
            self.target.note("no symbols of the hypervisor: its own table was not found; a file xen-syms has them")
            return None
        table, first, end = found
        self.space.read_partial(first, end - first)  # not by `Image.peek` this time: `kdbg slim` keeps it
        return table

    def is_of(self, path: str) -> bool:
        """Whether a file has symbols of this hypervisor; they are used from now on."""
        found = self._of_file(path) is not None
        if found:
            self.__dict__.pop("table", None)
            self.__dict__.pop("symbols", None)
        return found

    def _of_file(self, path: str) -> SymbolTable | None:
        if os.path.isdir(path):
            return None
        try:
            found = of_file(path)
        except (OSError, Error) as error:
            self.target.note(f"{path}: no symbols of the hypervisor: {error}")
            return None
        if found is None:
            return None
        start = found.table.find("_stext")
        if start is None or not self.start <= start.address < self.start + REGION:
            return None
        if found.build is not None:
            address, wanted = found.build
            if self._differs(address, wanted):
                self.target.note(f"{path}: of another build than the hypervisor in the dump: its symbols are not used")
                return None
        return found.table

    def _differs(self, address: int, wanted: bytes) -> bool:
        try:
            return self.space.read(address, len(wanted)) != wanted
        except ReadError:
            return False

    @functools.cached_property
    def symbols(self) -> Symbols:
        """Its symbols, by name and by address."""
        return Symbols([self.table] if self.table is not None else [])

    @functools.cached_property
    def version(self) -> str:
        """Its version: of its note, else of its messages in memory; "" where neither tells."""
        told = self.host.details.get("xen_version")
        if told:
            return str(told)
        found = _VERSION.search(self.console())
        return found[1].decode("latin-1") if found else ""

    def console(self) -> bytes:
        """Its messages as they lie in its buffer (xen/drivers/char/console.c: conring); empty where it is not found."""
        place, size = self.symbols.find("conring"), self.symbols.find("conring_size")
        if place is None or size is None:
            return b""
        try:
            count = int.from_bytes(self.space.read(size.address, 4), "little")
            start = self._word(place.address)
        except ReadError:
            return b""
        pieces = []
        for at in range(start, start + min(count, MOST_CONSOLE), PAGE):
            try:
                pieces.append(self.space.read(at, min(PAGE, start + count - at)))
            except ReadError:
                break
        return b"".join(pieces)

    def describe(self) -> str:
        """One line: its version, where it is, its names."""
        names = f"{len(self.table)} symbols" if self.table is not None else "no symbols"
        return f"Xen {self.version or 'of a version that is not told'} at {self.start:x}, {names}"

    def holds(self, address: int) -> bool:
        """Whether an address belongs to its image."""
        return self.start <= address < self.start + REGION

    def is_code(self, address: int) -> bool:
        """Whether an address is one of its code."""
        if not self.holds(address):
            return False
        walk = self.space.walk(address)
        return walk.page_address is not None and not walk.entry & NO_EXECUTE

    # its CPUs

    def running(self, registers: Mapping[str, int]) -> Running | None:
        """What was on the CPU with these registers; None where its stack does not tell."""
        top = (registers.get("rsp", 0) | STACK - 1) + 1
        if not DIRECT_MAP[0] <= top < DIRECT_MAP[1]:
            return None
        try:
            data = self.space.read(top - CPU_INFO, CPU_INFO)
        except ReadError:
            return None
        size = 8 * len(USER_REGISTERS)
        for at in range(CPU_INFO - size - 24, -1, -8):
            cpu, _, vcpu = struct.unpack_from("<IIQ", data, at + size)
            if cpu >= MOST_CPUS or not DIRECT_MAP[0] <= vcpu < DIRECT_MAP[1] or vcpu & 7:
                continue
            try:
                number, on, *pointers = struct.unpack(f"<II{VCPU_WORDS - 1}Q", self.space.read(vcpu, 8 * VCPU_WORDS))
            except ReadError:
                continue
            if on == cpu and number < MOST_CPUS:
                values = dict(zip(USER_REGISTERS, struct.unpack_from(f"<{size // 8}Q", data, at), strict=True))
                guest = {name: value & 0xFFFF if name in SELECTORS else value for name, value in values.items()}
                return Running(cpu, vcpu, number, self._domain(pointers), top - CPU_INFO + at, guest)
        return None

    def _domain(self, pointers: list[int]) -> int | None:
        """The id of the domain that one of the pointers at the start of a struct vcpu leads to."""
        for pointer in pointers:
            if pointer in self.domains:
                return self.domains[pointer]
        for pointer in pointers:
            if pointer & PAGE - 1 == 0 and DIRECT_MAP[0] <= pointer < DIRECT_MAP[1] and self._id(pointer) == DOMID_IDLE:
                return DOMID_IDLE
        return None

    def _number(self, key: str) -> int:
        value = self.host.vmcoreinfo.get(key, "")
        return int(value) if value.isdigit() else 0

    def _id(self, domain: int) -> int | None:
        try:
            data = self.space.read(domain + self._number("OFFSET(domain.domain_id)"), 2)
        except ReadError:
            return None
        return int.from_bytes(data, "little")

    @functools.cached_property
    def domains(self) -> Mapping[int, int]:
        """Address of struct domain -> id, in the order of the hypervisor's list.

        Where no VMCOREINFO tells how it goes on, its first domain alone, which is domain 0.
        """
        found: dict[int, int] = {}
        following = self._number("OFFSET(domain.next_in_list)")
        try:
            at = self._word(self._list)
            while at and at not in found and len(found) < MOST_DOMAINS:
                ident = self._id(at)
                if ident is None:
                    break
                found[at] = ident
                at = self._word(at + following) if following else 0
        except ReadError:
            pass
        return found

    @property
    def _list(self) -> int:
        """Address of the pointer to the first domain; 0 where nothing tells."""
        try:
            return int(self.host.vmcoreinfo["SYMBOL(domain_list)"], 16)
        except (KeyError, ValueError):
            return self._address("domain_list") or 0

    def _word(self, address: int) -> int:
        return int.from_bytes(self.space.read(address, 8), "little")

    def vcpus(self, domain: int) -> list[int]:
        """Addresses of the vCPUs of the domain whose struct domain lies at an address, as far as it leads to them.

        Where in it is not known: a word is the address of a vCPU, or of an array of such, if what is there says so.
        """
        found: list[int] = []
        for word in self._words(domain, PAGE):
            for vcpu in (word, *self._words(word, 8 * MOST_FIRST)):
                if vcpu not in found and self._is_vcpu(vcpu, domain):
                    found.append(vcpu)
        return found

    def _is_vcpu(self, address: int, domain: int) -> bool:
        number, *pointers = self._words(address, 8 * VCPU_WORDS) or [INVALID]
        return number & 0xFFFFFFFF < MOST_CPUS and number >> 32 < MOST_CPUS and domain in pointers

    def _words(self, address: int, size: int) -> list[int]:
        """The words at an address of the direct map; none where it is no such address, or nothing is there."""
        if address & 7 or not DIRECT_MAP[0] <= address < DIRECT_MAP[1]:
            return []
        data = self.space.read_partial(address, size)
        return [] if data.missing else memoryview(data.data).cast("Q").tolist()

    def vcpu_words(self, domain: int) -> Iterator[int]:
        """The words of the vCPUs of a domain: among them are its page tables, as addresses and as frames."""
        for vcpu in self.vcpus(domain):
            yield from self._words(vcpu, VCPU_SIZE)

    # stacks

    def frames(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU in the hypervisor, the place where it was first; how it got there is the last one's note.

        It has no frame pointers: the stack is scanned for what lies behind calls, from one interrupt to the next.
        """
        machine = Machine(
            64, self.space.read, self.is_code, self._is_guest, self._function, self._address, resolve=self._resolve
        )
        pc, sp = registers.get("rip", 0), registers.get("rsp", 0)
        running = self.running(registers)
        found = [self._frame(pc, sp, None)]
        for _ in range(MOST_PARTS):
            data, interrupt = self._part(sp, running.place if running is not None else 0)
            found += self._judged(scan(machine, pc, sp, data))
            if interrupt is None:
                return found
            pc, sp, at = interrupt
            found.append(self._frame(pc, at, INTERRUPTED))
        return found

    def representative(self) -> Mapping[str, int]:
        """The registers of the CPU that started the crash kernel, else of the first one; empty where there is none."""
        contexts = self.target.image.contexts
        for registers in contexts:
            if any(frame.symbol == CRASHING for frame in self.frames(registers)):
                return registers
        return contexts[0] if contexts else {}

    def stack(self, registers: Mapping[str, int]) -> list[Frame]:
        """As `frames`, and where the hypervisor was entered from."""
        found, running = self.frames(registers), self.running(registers)
        if running is None:
            return found
        if running.domain == DOMID_IDLE:
            return [*found[:-1], replace(found[-1], note=IDLE)]
        entered = Frame(running.guest["rip"], running.guest["rsp"], None, 0, note=IN_GUEST.format(running.name))
        return [*found, entered]

    def _part(self, sp: int, last: int) -> tuple[bytes, tuple[int, int, int] | None]:
        """The stack from ``sp`` up to an interrupt of the hypervisor itself, with its (pc, sp, place); or to its end.

        ``last``: where the guest's registers begin.
        """
        end = last if sp < last <= sp + STACK else (sp | STACK - 1) + 1
        pieces: list[bytes] = []
        at = sp & ~7
        try:
            while at < end:
                pieces.append(self.space.read(at, min(end, (at | PAGE - 1) + 1) - at))
                at = (at | PAGE - 1) + 1
        except ReadError:
            pass  # the guard page below the main stack, or what the dump lacks
        data = b"".join(pieces)
        words = memoryview(data[: len(data) // 8 * 8]).cast("Q")
        for index in range(len(words) - 4):
            if words[index + 1] & 0xFFFF == HYPERVISOR_CS and words[index + 1] < 1 << 32:
                pc, place, stack = words[index], (sp & ~7) + 8 * index, words[index + 3]
                if self.is_code(pc) and (stack > place or stack >> 15 != place >> 15) and not stack & 7:
                    return data[: 8 * index], (pc, stack, place)
        return data, None

    def _resolve(self, address: int) -> int | None:
        """Where a call ends; without names nothing tells whose code it is that a return address lies in."""
        return address if self.table is not None else None

    def _judged(self, frames: list[Frame]) -> list[Frame]:
        return frames if self.table is not None else [replace(frame, note=CALL) for frame in frames]

    def _is_guest(self, address: int) -> bool:
        return not self.holds(address)

    def _function(self, address: int) -> tuple[Symbol, int] | None:
        found = self.symbols.nearest(address)
        return found if found is not None and found[0].type == STT_FUNC else None

    def _address(self, name: str) -> int | None:
        symbol = self.symbols.find(name)
        return symbol.address if symbol is not None else None

    def _frame(self, pc: int, sp: int, note: str | None) -> Frame:
        found = self._function(pc)
        if found is None:
            return Frame(pc, sp, None, 0, note=note)
        return Frame(pc, sp, found[0].name, found[1], MODULE, note=note)


def _spaces(target: Dump, host: XenHost, start: int) -> Iterator[AddressSpace]:
    """The spaces through which the hypervisor may be seen: those of the CPUs, then its own tables by its notes."""
    for registers in target.image.contexts:
        if registers.get("cr3"):
            yield target.space_for(registers["cr3"])
    top, base = host.vmcoreinfo.get("SYMBOL(pgd_l4)"), host.info.phys_start if host.info is not None else None
    if top is not None and base is not None:
        try:
            yield AddressSpace(target.image, X86_64, int(top, 16) - start + base)
        except ValueError:
            return
