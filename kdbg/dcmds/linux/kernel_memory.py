"""What a Linux kernel has mapped and copied for itself: vmalloc areas, per-CPU variables; and walkers over both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.linux.slabs import size_text
from kdbg.dcmds.registry import (
    OPTIONAL,
    Call,
    Column,
    Table,
    View,
    Walk,
    WalkError,
    dcmd,
    decimal,
    number,
    padded_pointer,
    walker,
)
from kdbg.errors import CommandError, Error, SymbolNotFound
from kdbg.kernels.linux.percpu import PerCpu, PerCpuVariable
from kdbg.kernels.linux.vmalloc import VmapArea, VmapAreas
from kdbg.symbols.model import Kind, Type
from kdbg.symbols.table import Symbol

MODULE = "linux"

AREAS = Table(
    (
        padded_pointer("ADDR", "address"),
        padded_pointer("START", "start"),
        padded_pointer("END", "end"),
        Column("SIZE", lambda area, _: size_text(area.end - area.start), 8),
        decimal("PAGES", "pages", 6),
        Column("KIND", lambda area, _: ",".join(area.flags) or "-", 14, left=True, field="flags"),
        Column("CALLER", lambda area, view: view.label(area.caller) if area.caller else "-", 0, left=True),
    )
)


@dcmd(
    "vmalloc",
    "list the vmalloc areas",
    address=OPTIONAL,
    needs=("kernel",),
    module=MODULE,
    table=AREAS,
    help="Ranges that are mapped page by page: vmalloc, ioremap, modules, kernel stacks; or the one that holds the "
    "address. The end includes the guard page.",
    example="::vmalloc",
)
def vmalloc(call: Call) -> Iterator[VmapArea]:
    """All areas, or the one that holds the address."""
    with about("vmalloc areas", call.kernel):
        part: VmapAreas = call.kernel.part(VmapAreas)
        if not call.explicit:
            yield from part.all()
            return
        found = part.holding(call.address)
    if found is None:
        raise CommandError(f"{call.address:x}: it lies in no vmalloc area")
    yield found


@walker("vmap_area", "vmalloc areas: their struct vmap_area, ascending", module=MODULE)
def vmap_areas(walk: Walk) -> Iterator[int]:
    """Addresses of all struct vmap_areas."""
    with about("vmalloc areas", walk.kernel, WalkError):
        part: VmapAreas = walk.kernel.part(VmapAreas)
        yield from (area.address for area in part.all())


# per-CPU variables


@dataclass(frozen=True, slots=True)
class PerCpuValue:
    """One CPU's copy of a variable."""

    address: int
    cpu: int
    name: str
    type: str | None
    value: int | None
    """None where it is no number, or cannot be read."""
    problem: str = ""


class PerCpuTable(Table):
    """Variables, or the copies of one."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """One heading for both."""
        return f"{'ADDR':>{view.pointer_width}} {'SIZE/CPU':>8} {'NAME':<32} TYPE/VALUE"

    def row(self, record: PerCpuVariable | PerCpuValue, view: View) -> str:
        """A variable or a copy."""
        address = f"{record.address:0{view.pointer_width}x}"
        if isinstance(record, PerCpuVariable):
            return f"{address} {record.size:>8x} {record.name:<32} {record.type or '-'}"
        value = record.problem or (record.type or "-" if record.value is None else f"{record.value:x}")
        return f"{address} {record.cpu:>8} {record.name:<32} {value}"


@dcmd(
    "percpu",
    "list the per-CPU variables, or each CPU's copy of one",
    address=OPTIONAL,
    synopsis="[-c cpu] [name ...]",
    words=None,
    needs=("kernel",),
    options=[number("c", "cpu", "only this CPU's")],
    module=MODULE,
    table=PerCpuTable(),
    help="Without names all variables of the kernel's image with their sizes and types. With names, or an address of "
    "alloc_percpu, each CPU's copy: where it lies, and its value where that is a number. The walker percpu leads from "
    "such an address to the copies: runqueues::walk percpu | ::print struct rq nr_running",
    example="::percpu current_task",
)
def percpu(call: Call) -> Iterator[PerCpuVariable | PerCpuValue]:
    """Variables, or copies."""
    try:
        part: PerCpu = call.kernel.part(PerCpu)
        if not call.words and not call.explicit:
            found = list(part.variables())
            if not found:
                raise CommandError("percpu: the kernel's image names no per-CPU variables")
            yield from found
            return
        if call.explicit:
            yield from _copies(call, part, call.address, None)
        for word in call.words:
            try:
                symbol = part.find(str(word))
            except SymbolNotFound as error:
                call.fail(f"percpu: {error}")
                continue
            yield from _copies(call, part, symbol.address, symbol)
    except Error as error:
        raise CommandError(str(error)) from None


def _copies(call: Call, part: PerCpu, address: int, symbol: Symbol | None) -> Iterator[PerCpuValue]:
    of = part.type_of(symbol) if symbol is not None else None
    size = _number_size(of) if of is not None else (symbol.size if symbol is not None else call.target.bits // 8)
    spelling = of.spelling if of is not None else None
    name = symbol.name if symbol is not None else f"{address:x}"
    count = len(part.offsets())
    if call.options.c is not None and call.options.c >= count:
        raise CommandError(f"percpu: no CPU {call.options.c}: there are {count}")
    for cpu in range(count) if call.options.c is None else (call.options.c,):
        place, value, problem = part.place(address, cpu), None, ""
        if size in (1, 2, 4, 8):
            try:
                value = int.from_bytes(call.kernel.memory.read(place, size), "little")
            except Error as error:
                problem = f"<{error.reason}>"
        yield PerCpuValue(place, cpu, name, spelling, value, problem)


def _number_size(of: Type) -> int:
    """Bytes of a number's type; 0 for all else."""
    resolved = of.resolved
    return resolved.size if resolved.kind in (Kind.INTEGER, Kind.POINTER, Kind.ENUM) else 0


@walker("percpu", "each CPU's copy of the per-CPU variable at the address", module=MODULE)
def per_cpu_copies(walk: Walk) -> Iterator[int]:
    """Addresses of the copies, by CPU."""
    if walk.start is None:
        raise WalkError("percpu walk must begin at the address of a per-CPU variable")
    try:
        part: PerCpu = walk.kernel.part(PerCpu)
        yield from [part.place(walk.start, cpu) for cpu in range(len(part.offsets()))]
    except Error as error:
        raise WalkError(str(error)) from None
