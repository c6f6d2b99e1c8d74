"""::kgrep: where in memory a value stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.registry import REQUIRED, Call, Table, View, dcmd, flag, number
from kdbg.errors import CommandError
from kdbg.kernels.linux.pages import Virtual
from kdbg.vm.search import Pattern, search


@dataclass(frozen=True, slots=True)
class Found:
    """A place where the value stands."""

    address: int
    """Virtual: in the kernel's image where it belongs to that, else in the direct map."""
    physical: int
    value: int


@dataclass(frozen=True, slots=True)
class Places(Table):
    """Addresses, a line each."""

    values: bool = False
    """With the values."""

    def heading(self, view: View) -> None:
        """There is none."""

    def row(self, record: Found, view: View) -> str:
        """One place."""
        line = f"{record.address:0{view.pointer_width}x}"
        return f"{line} {record.value:x}" if self.values else line


@dcmd(
    "kgrep",
    "search all memory for a value",
    address=REQUIRED,
    synopsis="[-v] [-d dist|-m mask|-M invmask] [-a minad] [-A maxad] [-s sz]",
    options=[
        flag("v", "show the values too"),
        number("a", "minad", "only at this physical address or behind it"),
        number("A", "maxad", "only at physical addresses below this one"),
        number("d", "dist", "values in [addr, addr + dist)"),
        number("m", "mask", "values with (value & mask) == addr"),
        number("M", "invmask", "values with (value & ~invmask) == addr"),
        number("s", "sz", "values of so many bytes (1, 2, 4 or 8), not of a pointer's size"),
    ],
    needs=("kernel",),
    module="linux",
    table=lambda call: Places(values=call.options.v),
    pipe=lambda record: record.address,
    help="Aligned values in all pages of the dump: of the kernel, of files, of processes. Places are shown where the "
    "kernel has all memory mapped, those of its image in there. ::whatis tells what they are.",
    example="ffff888004a3c2c0::kgrep | ::whatis",
)
def kgrep(call: Call) -> Iterator[Found]:
    """Places where the value stands, in order of their physical addresses."""
    options, kernel, target = call.options, call.kernel, call.target
    size = target.bits // 8 if options.s is None else options.s
    if size not in (1, 2, 4, 8):
        raise CommandError(f"kgrep: -s takes 1, 2, 4 or 8, not {size}")
    if len([one for one in (options.d, options.m, options.M) if one is not None]) > 1:
        raise CommandError("kgrep: only one of -d, -m and -M can be given")
    mask = options.m if options.M is None else ~options.M & (1 << 64) - 1
    progress: Any = getattr(call.session, "progress", None)

    def tell(part: float) -> None:
        if progress is not None:
            progress.label(f"kgrep: {100 * part:.0f}% of the dump")

    pattern = Pattern(call.address, size, mask, options.d)
    end = options.A if options.A is not None else 1 << 64
    with about("kgrep", call.kernel):
        virtual = kernel.part(Virtual)
        for hit in search(target.image, pattern, options.a or 0, end, tell):  # type: ignore[attr-defined]
            yield Found(virtual.address_of(hit.physical), hit.physical, hit.value)
