"""What a file is and where it is mapped: for raw files, ELF files, and no file at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import NONE, REQUIRED, Call, Table, View, dcmd, flag, number, pointer, text
from kdbg.errors import CommandError, UsageError
from kdbg.target import Target

UNSUPPORTED = "operation not supported by target"
NO_PROCESS = "no process active"
NOT_SUPPORTED = "command is not supported by current target"


@dataclass(frozen=True, slots=True)
class Mapping:
    """A range of addresses."""

    base: int
    limit: int
    size: int
    name: str


MAPPINGS = Table([pointer("BASE", "base"), pointer("LIMIT", "limit"), pointer("SIZE", "size"), text("NAME", "name", 0)])


def mapped(target: Target, objects: bool = False) -> list[Mapping]:
    """What is mapped, or the objects. Raises `CommandError` where that cannot be told."""
    found = target.objects() if objects else target.mappings()
    return [Mapping(one.base, one.base + one.size, one.size, one.name) for one in found]


def _or_fail(call: Call, objects: bool) -> Iterator[Mapping | None]:
    yield None
    try:
        yield from mapped(call.target, objects)
    except CommandError as error:
        raise CommandError(f"failed to iterate over {'objects' if objects else 'mappings'}: {error}") from None


@dcmd(
    "mappings,$m", "list the mappings, or the one of an address or name", synopsis="[name]", words=1, table=MAPPINGS,
    help="Lists base, limit, size and name of what is mapped; with an address or a name that one only.",
    hint=False,
    example="::mappings",
)  # fmt: skip
def mappings(call: Call) -> Iterator[Mapping | None]:
    """What is mapped where."""
    if call.words and call.explicit:
        raise UsageError("")
    if not call.words and not call.explicit:
        try:
            yield from _or_fail(call, objects=False)
        except CommandError as error:
            call.session.warn(str(error))
        return
    yield None
    found, reason = _one(call)
    if found is None:
        call.session.warn(f"failed to obtain mapping: {reason}")
    else:
        yield found


def _one(call: Call) -> tuple[Mapping | None, str]:
    if call.target.kind not in ("object", "dump"):
        return None, UNSUPPORTED if call.target.kind == "raw" else NO_PROCESS
    asked = call.words[0] if call.words else call.address
    for one in mapped(call.target, objects=call.target.kind == "dump"):
        if isinstance(asked, int):
            if one.base <= asked < one.limit:
                return one, ""
        elif asked in (one.name, one.name.rpartition("/")[2]):
            return one, ""
    return None, "no mapping for address" if isinstance(asked, int) else "unknown object file name"


@dcmd("objects", "list the objects", address=NONE, synopsis="[-v]", options=[flag("v", "versions")], table=MAPPINGS,
      example="::objects")  # fmt: skip
def objects(call: Call) -> Iterator[Mapping | None] | None:
    """The objects that make up the target."""
    if not call.options.v:
        return _or_fail(call, objects=True)
    call.session.out.line(f"{'NAME':<28} VERSION")
    for one in mapped(call.target, objects=True):
        call.session.out.line(f"{one.name:<28} Unknown")
    return None


@dcmd(
    "status", "say what is looked at", plain_usage=True, words=None, example="::status",
    help="Tells the kind of file, its name, and its architecture where it has one.",
    hint=False,
)  # fmt: skip
def status(call: Call) -> None:
    """What is looked at."""
    target, out = call.target, call.session.out
    if target.kind == "raw":
        core = getattr(target, "core_name", None)
        out.line(f"debugging file '{target.name}' (object file)" + (f" and file '{core}' (core file)" if core else ""))
    elif target.kind == "object":
        out.line(f"debugging program '{target.name.rpartition('/')[2]}' ({target.bits}-bit)")
        out.line(f"executable file: {getattr(target, 'path', target.name)}")
        out.line("status: idle")


@dcmd(
    "$?", "say what is looked at, and show the registers", plain_usage=True, words=None,
    help="What ::status says of a process, and its registers: a file at rest has none that matter.",
    hint=False,
    example="$?",
)  # fmt: skip
def status_and_registers(call: Call) -> None:
    """That there is no process, and the registers of none."""
    if call.target.kind == "object":
        call.session.out.line("no process")
    registers(call)


@dcmd(
    "regs,$r", "show the registers", plain_usage=True, words=None,
    help="A program that does not run has registers of 0.",
    hint=False,
    example="$r",
)  # fmt: skip
def registers(call: Call) -> None:
    """The registers of a program that does not run: zeros."""
    if call.target.kind != "object":
        raise CommandError(NO_PROCESS if call.target.kind == "none" else NOT_SUPPORTED)
    call.session.out.write(_NO_REGISTERS)


@dcmd(
    "fpregs,$x", "show the floating point registers", plain_usage=True, words=None,
    help="A program that does not run has registers of 0.",
    hint=False,
    example="$x",
)  # fmt: skip
def floating_registers(call: Call) -> None:
    """The floating point registers of a program that does not run."""
    if call.target.kind != "object":
        raise CommandError(NO_PROCESS if call.target.kind == "none" else NOT_SUPPORTED)
    call.session.out.write(_floating())


def _pair(left: str, right: str) -> str:
    first = f"%{left:<3} = 0x{0:016x}" if left else " " * 25
    return f"{first}       %{right:<3} = 0x{0:016x}\n"


_ROWS = (("rax", "r8"), ("rbx", "r9"), ("rcx", "r10"), ("rdx", "r11"), ("rsi", "r12"), ("rdi", "r13"), ("", "r14"),
         ("", "r15"))  # fmt: skip

_NO_REGISTERS = (
    "".join(_pair(left, right) for left, right in _ROWS)
    + "\n%cs = 0x0000    %fs = 0x0000    %gs = 0x0000\n%ds = 0x0000    %es = 0x0000    %ss = 0x0000\n"
    + f"\n%rip = 0x{0:016x} \n%rbp = 0x{0:016x}\n%rsp = 0x{0:016x}\n"
    + "\n%rflags = 0x00000000\n  id=0 vip=0 vif=0 ac=0 vm=0 rf=0 nt=0 iopl=0x0\n"
    + "  status=<of,df,if,tf,sf,zf,af,pf,cf>\n"
    + f"\n%gsbase = 0x{0:016x}\n%fsbase = 0x{0:016x}\n%trapno = 0x0\n   %err = 0x0\n"
)
"""The registers of a program that does not run, as mdb shows them."""


def _floating() -> str:
    stack = "".join(f"%st{i}   0x0000.{0:016x} = +0.0000000000000000e+00 empty\n" for i in range(8))
    vector = "".join(f"%xmm{i}  0x{0:032x}\n" for i in range(8))
    return (
        "AMD64 (80486 chip with SSE)\ncw     0x0000 (SIG24|RTN|P)\nsw     0x0000 (TOP=0t0) (0)\nxcp sw 0x0000 (0)\n\n"
        f"fop    0x0\nrip    0x0\nrdp    0x0\n\n{stack}\nmxcsr  0x0000 (RTN)\nxcp    0x0000 (RTN)\n\n{vector}"
    )


@dataclass(frozen=True, slots=True)
class Place:
    """What an address of a file is."""

    address: int
    kind: str
    base: int | None = None
    limit: int | None = None
    name: str | None = None


def _place(record: Place, view: View) -> str:
    if record.base is None:
        return f"{record.address:x} is unknown"
    return f"{record.address:x} is in {record.name} [{record.base:x},{record.limit:x})"


@dcmd("whatis", "say what an address is", address=REQUIRED, synopsis="[-aikqv]", hint=True,
      options=[flag("a", "all that there is to say"), flag("i", "take the address for an identifier"),
               flag("k", "kernel memory only"), flag("q", "shorter"), flag("v", "longer")],
      text=_place, help="Tells the file that the address lies in.", example="10::whatis")  # fmt: skip
def whatis(call: Call) -> Iterator[Place]:
    """Which mapping an address lies in."""
    places: Iterable[Mapping] = mapped(call.target) if call.target.kind in ("raw", "object") else ()
    for one in places:
        if one.base <= call.address < one.limit:
            yield Place(call.address, "mapping", one.base, one.limit, one.name)
            return
    yield Place(call.address, "unknown")


@dcmd(
    "vtop", "translate a virtual address", synopsis="[-a as]", options=[number("a", "as", "address space")],
    strict_usage=True,
    help="Files have no physical addresses: this fails.",
    hint=False,
    example="1000::vtop",
)  # fmt: skip
def vtop(call: Call) -> None:
    """Fail: files have no physical addresses."""
    raise CommandError(f"failed to get physical mapping: {UNSUPPORTED}")
