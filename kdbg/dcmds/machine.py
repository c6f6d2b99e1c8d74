"""What a dump tells of its machine whatever runs on it: what it is, the CPUs' registers and stacks.

For guests with a kernel that kdbg does not know, and for kernels that bring no better answer (`kdbg.dcmds.linux`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdbg.dcmds.registers import Registers, registers_text
from kdbg.dcmds.registry import NONE, OPTIONAL, Call, View, dcmd, flag, number
from kdbg.errors import CommandError, UsageError
from kdbg.kernels.stackscan import CALL, CALLED, ELSEWHERE, INDIRECT
from kdbg.records import Cpu, Frame

MODULE = "machine"


@dataclass(frozen=True, slots=True)
class Status:
    """What is looked at."""

    file: str
    format: str
    kind: str
    """"domain crash dump" or "crash dump"."""
    bits: int
    architecture: str
    paravirtual: bool
    cpus: int
    """CPU contexts in the dump."""
    pages: int
    """Pages whose bytes lie in the file."""
    kernel: str | None = None
    """"Linux ..."; None where none is known."""
    host: str | None = None
    release: str | None = None
    version: str | None = None
    machine: str | None = None
    recognised: str | None = None
    """How the kernel was found."""
    symbols: int = 0
    """Of the kernel's image."""
    modules: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)
    """What the format tells of the hypervisor."""
    damage: tuple[str, ...] = ()
    missing: int = 0
    """Pages that the dump tells of and does not hold."""
    missing_why: Mapping[str, int] = field(default_factory=dict)
    """Why -> how many of them."""
    complete: bool = True
    compression: str = "none"
    time: float | None = None
    """When the dump was made, seconds since 1970, where it tells."""
    page_tables: str | None = None
    """Where they were found, or that they were given, in memory that tells nothing of them."""
    advice: tuple[str, ...] = ()
    """What would make the dump serve better."""
    hypervisor: str | None = None
    """Of the dump of a Xen host: its version, where it lies, its symbols."""


def machine_status(call: Call, **kernel: Any) -> Status:
    """What the image tells, and what is known of the kernel."""
    target: Any = call.target
    image = target.image
    root = target.found_root
    return Status(
        file=os.path.basename(target.name),
        format=image.format,
        kind="domain crash dump" if image.format.startswith("Xen") else "crash dump",
        bits=target.bits,
        architecture="x86-64" if (image.architecture, target.bits) == ("x86", 64) else image.architecture,
        paravirtual=image.paravirtual,
        cpus=len(image.contexts),
        details=dict(getattr(image, "hypervisor", {})),
        page_tables=f"{root.space.mode.name}, top at {root.space.root:x}, {root.how}" if root else None,
        advice=tuple(image.advice),
        hypervisor=_hypervisor(target),
        **_of_pages(image),
        damage=tuple(image.damage),
        **kernel,
    )


def _of_pages(image: Any) -> dict[str, Any]:
    """What the dump holds and lacks."""
    tables = getattr(image, "tables", None)
    if tables is not None:  # of Xen: told without a look at the tables
        pages = image.pages_in_file
        why = {"cut off": tables.page_count - pages} if pages < tables.page_count else {}
        return {"pages": pages, "missing": sum(why.values()), "missing_why": why, "complete": not image.damage}
    info = image.describe()
    told = {name: getattr(info, name) for name in ("pages", "missing", "missing_why", "complete", "time")}
    return {**told, "compression": info.details.get("compression") or "none"}


def _hypervisor(target: Any) -> str | None:
    """A line on the hypervisor in the dump of a Xen host."""
    below, host = getattr(target.kernel, "hypervisor", None), target.image.host
    if below is not None:
        found: str = below.describe()
        return found
    if host is None:
        return None
    return f"Xen {host.details.get('xen_version', '')}".rstrip() + ", of which the dump does not hold enough"


def status_text(record: Status, _: View) -> str:
    """The lines that are known."""
    host = f" from {record.host}" if record.host else ""
    lines = [f"debugging {record.kind} {record.file} ({record.bits}-bit){host}"]
    if record.kernel:
        machine = f" ({record.machine})" if record.machine else ""
        lines.append(f"operating system: Linux {record.release} {record.version or ''}".rstrip() + machine)
        lines.append(f"recognised by: {record.recognised}")
        lines.append(f"symbols: {record.symbols} of the kernel, {len(record.modules)} modules")
    else:
        lines.append("operating system: not one that kdbg knows")
    if record.hypervisor:
        lines.append(f"hypervisor: {record.hypervisor}")
    mode = "paravirtual " if record.paravirtual else ""
    size = f"{record.pages >> 8} MB" if record.pages >= 1 << 8 else f"{record.pages << 2} KB"
    missing = ", ".join(f"{count} {why}" for why, count in record.missing_why.items())
    of = f" of {record.pages + record.missing}: {missing}" if record.missing else ""
    lines.append(f"machine: {mode}{record.architecture}, {record.cpus} CPU contexts, {record.pages} pages ({size}){of}")
    if record.page_tables:
        lines.append(f"page tables: {record.page_tables}")
    by = f", written by Xen {record.details['xen_version']}" if "xen_version" in record.details else ""
    by += f", {record.compression}" if record.compression != "none" else ""
    by += f", of {moment(record.time)}" if record.time is not None else ""
    lines.append(f"format: {record.format}{by}")
    lines += [f"damage: {sentence}" for sentence in record.damage]
    if not record.complete and not record.damage:
        lines.append("damage: the dump is not complete")
    lines += [f"advice: {sentence}" for sentence in record.advice]
    return "\n".join(lines)


def moment(seconds: float) -> str:
    """A time since 1970 for a person; as a number where it is none of our days."""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


@dcmd("status", "say what is looked at", address=OPTIONAL, words=None, needs=("dump",), module=MODULE, text=status_text,
      example="::status")  # fmt: skip
def status(call: Call) -> Iterator[Status]:
    """The dump, and that its kernel is not known."""
    yield machine_status(call)


# CPUs


def _cpu(call: Call) -> Cpu:
    """The CPU that a call means: by ``-c``; by an address (an id, its structure, its thread); or the default one."""
    target: Any = call.target
    cpus: list[Cpu] = target.cpus()
    if call.explicit and call.options.c is not None:
        raise UsageError("")
    if call.options.c is not None or call.explicit:
        wanted = call.address if call.explicit else call.options.c
        keys = ("id", "address", "thread") if call.explicit else ("id",)
        for cpu in cpus:
            if wanted in [getattr(cpu, key) for key in keys]:
                return cpu
        known = ", ".join(str(cpu.id) for cpu in cpus)
        raise CommandError(f"no CPU {wanted:x} among the contexts in the dump ({known})")
    if not cpus:
        raise CommandError("the dump has no CPU that can be told")
    registers = target.registers()
    return next((cpu for cpu in cpus if cpu.registers is registers), cpus[0])


def machine_registers_text(record: Registers, view: View) -> str:
    """In mdb's form for x86; else three in a line."""
    if "rip" in record.registers or "eip" in record.registers:
        return registers_text(record, view)
    names = [name for name in record.registers if name != "pid"]
    cells = [f"%{name:<6} = 0x{record.registers[name]:0{view.pointer_width}x}" for name in names]
    return "\n".join(" ".join(cells[at : at + 3]) for at in range(0, len(cells), 3))


def _named(registers: Mapping[str, int]) -> Mapping[str, int]:
    """The registers of a context, by the names of mdb's form too."""
    from kdbg.kernels.contexts import context_registers

    x86 = "rip" in registers or "eip" in registers
    return {**context_registers(registers), **registers} if x86 else registers


@dcmd("cpuregs", "show the registers of a CPU", address=OPTIONAL, synopsis="[-c cpuid]", module=MODULE,
      options=[number("c", "cpuid", "of that CPU")], needs=("vcpus",), text=machine_registers_text,
      example="::cpuregs -c 1")  # fmt: skip
def cpuregs(call: Call) -> Iterator[Registers]:
    """The registers that the dump holds of the CPU."""
    cpu = _cpu(call)
    yield Registers(_named(cpu.registers), cpu.id)


@dcmd("regs,$r,$?", "show the registers of the CPU that the dump is about", address=NONE, needs=("vcpus",),
      module=MODULE, text=machine_registers_text, example="::regs")  # fmt: skip
def regs(call: Call) -> Iterator[Registers]:
    """Of the panic where there was one that is known of, else of the first CPU."""
    yield Registers(_named(call.target.registers()))


@dataclass(frozen=True, slots=True)
class ShownFrame(Frame):
    """A frame with how it is to be shown."""

    with_pointer: bool = False


SHORT_NOTES = {CALLED: "scan", INDIRECT: "scan?", CALL: "scan?", ELSEWHERE: "scan??"}
"""How a frame's note is told in a word: the more question marks, the less speaks for the frame."""


def frame_text(record: ShownFrame, view: View) -> str:
    """A frame's line: with ``-v`` its place on the stack before it and all that is known of it behind."""
    pointer = f"{record.sp:0{view.pointer_width}x} " if record.with_pointer else ""
    if not record.pc:
        return f"{pointer}[{record.note}]"
    note = record.note if record.with_pointer else SHORT_NOTES.get(record.note or "", record.note)
    label = view.label(record.pc) if record.symbol else f"0x{record.pc:x}"
    return f"{pointer}{label}()" + (f"  [{note}]" if note else "")


def _most(call: Call) -> int | None:
    """The number of frames that a word asks for."""
    if not call.words:
        return None
    if len(call.words) > 1:
        raise UsageError("")
    word = call.words[0]
    return call.session.number(word) if isinstance(word, str) else word


@dcmd("cpustack", "show the stack of a CPU", address=OPTIONAL, synopsis="[-v] [-c cpuid] [n]", module=MODULE,
      options=[flag("v", "with places on the stack and what speaks for each frame"),
               number("c", "cpuid", "of that CPU")],
      words=None, needs=("vcpus",), text=frame_text, pipe=lambda record: record.pc,
      help="The place where the CPU was comes first. Its callers come by frame pointers where those hold, else by "
      "scanning the stack for addresses behind call instructions. [scan]: that call leads to the function above; "
      "[scan?]: it is an indirect call; [scan??]: it leads elsewhere, so the frame is a tail call's or left over.",
      example="::cpustack -c 0")  # fmt: skip
def cpustack(call: Call) -> Iterator[ShownFrame]:
    """The frames of the CPU, n at most."""
    yield from _shown(call, call.options.v)


@dcmd("stack,$c", "show the stack of the CPU that the dump is about", address=NONE, synopsis="[n]", words=None,
      options=[number("c", "cpuid", "of that CPU")], needs=("vcpus",), module=MODULE, text=frame_text,
      pipe=lambda record: record.pc, example="$c")  # fmt: skip
def stack(call: Call) -> Iterator[ShownFrame]:
    """The frames of the CPU, n at most."""
    yield from _shown(call, False)


@dcmd("stackregs,$C", "show the stack of the CPU that the dump is about, with places", address=NONE, synopsis="[n]",
      words=None, options=[number("c", "cpuid", "of that CPU")], needs=("vcpus",), module=MODULE, text=frame_text,
      pipe=lambda record: record.pc, example="$C")  # fmt: skip
def stackregs(call: Call) -> Iterator[ShownFrame]:
    """As ``$c``, with the place on the stack and what speaks for each frame."""
    yield from _shown(call, True)


def _shown(call: Call, with_pointer: bool) -> Iterator[ShownFrame]:
    target: Any = call.target
    most = _most(call)
    frames = target.cpu_stack(_cpu(call).registers)
    for frame in frames[:most]:
        yield ShownFrame(
            frame.pc, frame.sp, frame.symbol, frame.offset, frame.module, frame.arguments, frame.note, with_pointer
        )
