"""The domains of the hypervisor in the dump of a Xen host, and what it had on each CPU.

Each CPU has a stack of 32 KB whose end is a ``struct cpu_info``: the registers of the guest as it entered the
hypervisor, the CPU's number, the vCPU that is on it.

Sources: asm-x86/current.h (struct cpu_info, STACK_ORDER), public/arch-x86/xen-x86_64.h (struct cpu_user_regs),
xen/include/xen/sched.h (struct vcpu, struct domain), xen/common/kexec.c (what its VMCOREINFO tells), public/xen.h
(DOMID_*).
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import ReadError
from kdbg.formats.image import PAGE
from kdbg.kernels.xen.hypervisor import DIRECT_MAP

if TYPE_CHECKING:
    from kdbg.kernels.xen.hypervisor import Hypervisor

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


class Guests:
    """The domains of one hypervisor."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._space, self._host = hypervisor.space, hypervisor.host

    def running(self, registers: Mapping[str, int]) -> Running | None:
        """What was on the CPU with these registers; None where its stack does not tell."""
        top = (registers.get("rsp", 0) | STACK - 1) + 1
        if not DIRECT_MAP[0] <= top < DIRECT_MAP[1]:
            return None
        try:
            data = self._space.read(top - CPU_INFO, CPU_INFO)
        except ReadError:
            return None
        size = 8 * len(USER_REGISTERS)
        for at in range(CPU_INFO - size - 24, -1, -8):
            cpu, _, vcpu = struct.unpack_from("<IIQ", data, at + size)
            if cpu >= MOST_CPUS or not DIRECT_MAP[0] <= vcpu < DIRECT_MAP[1] or vcpu & 7:
                continue
            try:
                number, on, *pointers = struct.unpack(f"<II{VCPU_WORDS - 1}Q", self._space.read(vcpu, 8 * VCPU_WORDS))
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
        value = self._host.vmcoreinfo.get(key, "")
        return int(value) if value.isdigit() else 0

    def _id(self, domain: int) -> int | None:
        try:
            data = self._space.read(domain + self._number("OFFSET(domain.domain_id)"), 2)
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
            return int(self._host.vmcoreinfo["SYMBOL(domain_list)"], 16)
        except (KeyError, ValueError):
            return self._symbol("domain_list")

    def _word(self, address: int) -> int:
        return int.from_bytes(self._space.read(address, 8), "little")

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
        data = self._space.read_partial(address, size)
        return [] if data.missing else memoryview(data.data).cast("Q").tolist()

    def vcpu_words(self, domain: int) -> Iterator[int]:
        """The words of the vCPUs of a domain: among them are its page tables, as addresses and as frames."""
        for vcpu in self.vcpus(domain):
            yield from self._words(vcpu, VCPU_SIZE)

    def _symbol(self, name: str) -> int:
        """Address of a symbol of the hypervisor's; 0 where there is none."""
        found = self._hypervisor.symbols.find(name)
        return found.address if found is not None else 0
