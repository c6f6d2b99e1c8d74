"""How a process crashed: its signal, a pointer that was cut, a stack that is no stack any more."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding, Kind

HALF = 1 << 32
SIGN = 1 << 31
FIRST_PAGE = 1 << 16
"""Below: what a null pointer with an offset leads to (vm.mmap_min_addr)."""


@analyser("crash", "how the process ended", finds=("process.crashed", "pointer.cut"), needs=("process",))
def crash(case: Case) -> Iterator[Finding]:
    """The signal, and whether its address is a pointer of which one half got lost."""
    failure = case.failure
    if failure is None or failure.kind is not Kind.CRASH:
        return
    threads = [failure.thread] if failure.thread is not None else []
    yield case.finding("process.crashed", failure.message, "::status", threads=threads)
    sent = case.target.core.notes.signal
    address = sent.address if sent is not None else None
    if address is None or case.target.bits != 64:
        return
    whole = _whole(case, address)
    if whole is not None:
        yield case.finding(
            "pointer.cut",
            f"address {address:x} has the lower half of {whole:x}, which is mapped: a pointer was kept in 32 bits",
            f"{whole:x}::whatis",
            [Evidence("a function without a declaration returns an int: look for warnings of the compiler")],
            threads=threads,
            addresses=[address, whole],
        )


def _whole(case: Case, address: int) -> int | None:
    """The mapped address of which an address is the lower half, with or without its sign; None where there is none."""
    low, high = address % HALF, address // HALF
    if low < FIRST_PAGE or high not in (0, HALF - 1 if low & SIGN else 0):
        return None
    found = None
    for region in case.target.core.regions:
        start = region.address
        if start < HALF:
            if start <= address < region.end:
                return None  # it is no half of anything
            continue
        base = start - start % HALF
        for candidate in (base + low, base + HALF + low):
            if start <= candidate < region.end:
                found = found or candidate
    return found


@analyser("broken stack", "a stack that is no stack any more", finds=("stack.corrupt",), needs=("process",))
def broken_stack(case: Case) -> Iterator[Finding]:
    """A thread whose place is no code: it returned to what somebody wrote over its stack."""
    failure = case.failure
    if failure is None or failure.thread is None:
        return
    registers = failure.registers
    place = next((registers[name] for name in ("rip", "eip", "pc") if name in registers), None)
    frame = next((registers[name] for name in ("rbp", "ebp", "x29") if name in registers), None)
    if place is None or any(one.base <= place < one.base + one.size for one in case.target.mappings()):
        return
    also = " and its frame pointer is 0" if frame == 0 else ""
    yield case.finding(
        "stack.corrupt",
        f"the thread stands at {place:x}, where nothing is mapped{also}: its stack was written over",
        "::stack",
        threads=[failure.thread],
        addresses=[place],
    )
