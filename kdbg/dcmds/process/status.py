"""What a core is of: the program, how it ended, what was mapped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdbg.dcmds.process.signals import FAULTS, signal_name, signal_text
from kdbg.dcmds.registry import NONE, OPTIONAL, REQUIRED, Call, Table, View, dcmd, flag, pointer, text
from kdbg.dcmds.targets import MAPPINGS, Mapping
from kdbg.errors import Error, UsageError

MODULE = "process"
PANIC = "panicstr"
LONGEST_PANIC = 1024


@dataclass(frozen=True, slots=True)
class Status:
    """What is looked at."""

    file: str
    """The core."""
    program: str
    """Its name, as the kernel kept it."""
    bits: int
    host: str | None
    path: str | None
    """Of the program."""
    arguments: str | None
    ended: str
    """"signal", "exit", "gcore" or "upanic"."""
    system: str
    pid: int | None = None
    signal: str | None = None
    code: int | None = None
    address: int | None = None
    sender: int | None = None
    sender_uid: int | None = None
    exit_status: int | None = None
    message: str | None = None
    """What upanic(2), or libc as it gave up, said."""
    threads: int = 0
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What is odd besides: files that are not used, and why."""


def _status(call: Call) -> Status:
    target: Any = call.target
    core = target.core
    notes = core.notes
    main, lwp, sent = target.loaded.main, notes.representative, notes.signal
    number = (lwp.signal if lwp is not None else 0) or (sent.number if sent is not None else 0)
    waited = notes.exit_status or 0
    number = number or waited & 0x7F
    name = signal_name(number, notes.system) if number else None
    gcore = notes.system != "Linux" and notes.exit_status == 0 and notes.credentials
    ended = "signal" if number else "exit"
    if notes.panic is not None:
        ended = "upanic"
    elif gcore or not (number or waited):
        ended = "gcore"
    fault = sent is not None and sent.address is not None and name in FAULTS
    return Status(
        file=target.name,
        program=notes.name or "",
        bits=target.bits,
        host=notes.host,
        path=(main.path if main is not None else "") or target.loaded.program_path or None,
        arguments=notes.arguments,
        ended=ended,
        system=notes.system,
        pid=notes.pid,
        signal=name,
        code=sent.code if sent is not None else None,
        address=sent.address if fault else None,
        sender=sent.pid if sent is not None else None,
        sender_uid=sent.uid if sent is not None else None,
        exit_status=waited >> 8 & 0xFF if ended == "exit" else None,
        message=notes.panic or _libc_message(target),
        threads=len(notes.threads),
        damage=tuple(core.damage),
        notes=(*(note for note in target.notes if note not in core.damage), *_without_program(target)),
    )


def _without_program(target: Any) -> Iterator[str]:
    """What to do where nothing names the program's code: its file is not there, and the core has no symbols of it."""
    main = target.loaded.main
    if main is not None and main.file is None and not target.loaded.embedded_tables(main):
        core = os.path.basename(target.name)
        yield f"the file of the program is not here, or is another: `kdbg {core} PROGRAM` names its functions"


def _libc_message(target: Any) -> str | None:
    """What libc of illumos said before it gave up (its variable panicstr), or None."""
    if target.core.notes.system == "Linux":
        return None
    try:
        place = target.lookup(PANIC, "libc.so").address
        at = int.from_bytes(target.read(place, target.bits // 8), "little")
        data: bytes = target.read_some(at, LONGEST_PANIC) if at else b""
    except Error:
        return None
    return data.partition(b"\0")[0].decode("latin-1") or None


def status_text(record: Status, _: View) -> str:
    """In mdb's form; what only we say comes last."""
    lines = [f"debugging core file of {record.program} ({record.bits}-bit) from {record.host or 'unknown machine'}"]
    if record.path:
        lines.append(f"file: {record.path}")
    lines += [f"initial argv: {record.arguments or ''}", "threading model: native threads", f"status: {_ended(record)}"]
    if record.message and record.ended != "upanic":
        lines.append(f"libc panic message: {record.message}".rstrip("\n"))
    lines += [f"damage: {sentence}" for sentence in record.damage]
    lines += [f"note: {sentence}" for sentence in record.notes]
    return "\n".join(lines)


def _ended(record: Status) -> str:
    if record.ended == "upanic":
        return "process panicked" + (f"\nupanic message: {record.message}" if record.message else "")
    if record.ended == "gcore":
        return "process core file generated with gcore(1)"
    if record.ended == "exit":
        return f"process terminated with exit status {record.exit_status}"
    name = record.signal or ""
    told = f"process terminated by {name} ({signal_text(name)})"
    if record.sender:
        told += f", pid={record.sender} uid={record.sender_uid}" + (f" code={record.code}" if record.code else "")
    elif record.address is not None:
        told += f", addr={record.address:x}"
    return told


@dcmd("status", "say what is looked at", address=OPTIONAL, words=None, needs=("process",), module=MODULE,
      text=status_text, example="::status")  # fmt: skip
def status(call: Call) -> Iterator[Status]:
    """The program, its arguments, and how it ended."""
    yield _status(call)


@dcmd("$?", "say how the process ended, and show the registers", address=OPTIONAL, needs=("process",), module=MODULE,
      example="$?")  # fmt: skip
def status_and_registers(call: Call) -> None:
    """The signal and the registers of the thread that the core is about."""
    found = _status(call)
    call.session.out.line("no process")
    if found.signal:
        call.session.out.line(f"{found.signal}: {signal_text(found.signal)}")
    call.session.execute("::regs" if not call.explicit else f"{call.address:x}::regs")


def _records(found: list[Any]) -> list[Mapping]:
    return [Mapping(one.base, one.base + one.size, one.size, one.name) for one in found]


@dcmd("mappings,$m", "list the mappings, or the one of an address or name", synopsis="[name]", words=1, table=MAPPINGS,
      needs=("process",), module=MODULE, example="::mappings")  # fmt: skip
def mappings(call: Call) -> Iterator[Mapping | None]:
    """What was mapped where."""
    if call.words and call.explicit:
        raise UsageError("")
    target: Any = call.target
    yield None
    if not call.words and not call.explicit:
        yield from _records(target.mappings())
        return
    asked = call.words[0] if call.words else call.address
    if isinstance(asked, int):
        found = next((one for one in _records(target.mappings()) if one.base <= asked < one.limit), None)
    else:
        named = target.loaded.named(asked)
        found = next((one for one in _records(target.mappings()) if named and one.base == named.base), None)
    if found is None:
        reason = "no mapping for address" if isinstance(asked, int) else "unknown object file name"
        call.fail(f"failed to obtain mapping: {reason}")
    else:
        yield found


@dataclass(frozen=True, slots=True)
class LoadedFile(Mapping):
    """An object, and whether its file could be used."""

    build_id: str | None = None
    file: str | None = None
    """The file that stands for what the core left out."""


_VERBOSE = Table([
    pointer("BASE", "base"), pointer("LIMIT", "limit"), text("BUILD ID", "build_id", 40), text("FILE", "file", 24),
    text("NAME", "name", 0),
])  # fmt: skip


@dcmd("objects", "list the program and its shared objects", address=NONE, synopsis="[-v]", module=MODULE,
      options=[flag("v", "with build ids and the files that are used")], needs=("process",),
      table=lambda call: _VERBOSE if call.options.v else MAPPINGS, example="::objects -v")  # fmt: skip
def objects(call: Call) -> Iterator[LoadedFile]:
    """The objects that were loaded."""
    target: Any = call.target
    for one, loaded in zip(target.objects(), target.loaded.listed, strict=True):
        told = {}
        if call.options.v:
            told = {
                "build_id": loaded.build_id.hex() if loaded.build_id else None,
                "file": loaded.file.path if loaded.file else None,
            }
        yield LoadedFile(one.base, one.base + one.size, one.size, one.name, **told)


@dataclass(frozen=True, slots=True)
class Place:
    """What an address is."""

    address: int
    base: int | None = None
    limit: int | None = None
    name: str | None = None


def _place(record: Place, view: View) -> str:
    if record.base is None:
        return f"{record.address:x} is unknown"
    return f"{record.address:x} is in {record.name} [{record.base:x},{record.limit:x})"


@dcmd("whatis", "say what an address is", address=REQUIRED, synopsis="[-aikqv]", module=MODULE, text=_place,
      options=[flag("a", "all that there is to say"), flag("i", "take the address for an identifier"),
               flag("k", "kernel memory only"), flag("q", "shorter"), flag("v", "longer")],
      needs=("process",), example="10::whatis")  # fmt: skip
def whatis(call: Call) -> Iterator[Place]:
    """Which mapping an address lies in."""
    for one in call.target.mappings():
        if one.base <= call.address < one.base + one.size:
            yield Place(call.address, one.base, one.base + one.size, one.name)
            return
    yield Place(call.address)
