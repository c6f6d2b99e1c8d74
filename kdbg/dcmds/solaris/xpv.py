"""The domains of the hypervisor in a dump of Solaris xVM: what its module's types tell of them.

Source of the members: struct domain of the hypervisor's CTF, as mdb's module xpv names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdbg.dcmds.registry import OPTIONAL, Call, Table, Walk, WalkError, dcmd, decimal, hexadecimal, pointer, walker
from kdbg.errors import Error

MODULE = "xpv"
MOST_DOMAINS, MOST_VCPUS = 1 << 15, 4096


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of the hypervisor."""

    address: int
    """Of its struct domain."""
    domain_id: int
    tot_pages: int
    max_pages: int
    domain_flags: int
    is_hvm: int
    vcpu: int
    """Address of its table of vCPUs."""
    evtchn: int
    """Address of its table of event channels."""


def _domain(kernel: Any, address: int) -> Any:
    return kernel.at(f"{MODULE}`struct domain", address)


@walker("domain", "the domains of the hypervisor, or those from one on", module=MODULE)
def domains(walk: Walk) -> Iterator[int]:
    """From dom0, by next_in_list."""
    at, seen = walk.start or _first(walk), set[int]()
    while at and at not in seen and len(seen) < MOST_DOMAINS:
        seen.add(at)
        yield at
        try:
            at = int(_domain(walk.kernel, at).next_in_list)
        except Error as error:
            walk.warn(f"failed to read domain at {at:x}: {error.reason}")
            return


@walker("vcpu", "the vCPUs of domain 0, or of a domain", module=MODULE)
def vcpus(walk: Walk) -> Iterator[int]:
    """The table of the domain, up to its first empty entry."""
    kernel = walk.kernel
    try:
        table = _domain(kernel, walk.start or _first(walk)).vcpu
        word, start = kernel.bits // 8, table.address
        for number in range(min(table.type.size // word, MOST_VCPUS)):
            vcpu = kernel.word(start + number * word)
            if not vcpu:
                return
            yield vcpu
    except Error as error:
        raise WalkError(f"can't find per-domain vcpu information: {error.reason}") from None


def _first(walk: Walk) -> int:
    try:
        return int(walk.kernel.word_at(f"{MODULE}`dom0"))
    except Error as error:
        raise WalkError(f"can't find symbol 'dom0': {error.reason}") from None


DOMAINS = Table(
    (
        pointer("ADDR", "address"),
        decimal("ID", "domain_id", 3),
        hexadecimal("TPAGES", "tot_pages", 8),
        hexadecimal("MPAGES", "max_pages", 8),
        hexadecimal("FLAGS", "domain_flags", 8),
        decimal("HVM", "is_hvm", 3),
        pointer("VCPU", "vcpu"),
        pointer("EVTCHN", "evtchn"),
    )
)


@dcmd("domain", "list the domains of the hypervisor", address=OPTIONAL, needs=("kernel",), module=MODULE,
      table=DOMAINS, example="::domain")  # fmt: skip
def domain(call: Call) -> Iterator[Domain]:
    """All domains, or the one at the address."""
    addresses = [call.address] if call.explicit else domains(Walk(call.session, "domain", None))
    for address in addresses:
        found = _domain(call.kernel, address)
        numbers = {name: int(found[name]) for name in ("domain_id", "tot_pages", "max_pages", "domain_flags", "is_hvm")}
        yield Domain(address, **numbers, vcpu=found.address_of("vcpu"), evtchn=found.address_of("evtchn"))
