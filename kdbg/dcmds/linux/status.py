"""What the dump is of: the system, how long it ran, how it ended; and the modules of its kernel."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, fields

from kdbg.dcmds.machine import Status, machine_status, status_text
from kdbg.dcmds.registry import NONE, OPTIONAL, Call, Table, View, dcmd, flag, hexadecimal, padded_pointer, text
from kdbg.errors import CommandError, Error, UsageError
from kdbg.kernels.linux.clock import load_averages, uptime
from kdbg.kernels.linux.cpus import online
from kdbg.kernels.linux.panic import Panic, Taint, panic, taints
from kdbg.records import Module

MODULE = "linux"


@dataclass(frozen=True, slots=True)
class LinuxStatus(Status):
    """The system that the dump was taken of; None what its kernel does not tell."""

    online_cpus: int | None = None
    uptime: float | None = None
    """Seconds since it came up."""
    load: tuple[float, float, float] | None = None
    """Of one, five and fifteen minutes."""
    tasks: int | None = None
    """Tasks, those of the idle CPUs left out."""
    taints: tuple[Taint, ...] | None = None
    panic_message: str | None = None
    panic_cause: str | None = None
    panic_cpu: int | None = None
    panic_thread: int | None = None


_MEMBERS = [one.name for one in fields(Status)]


@dcmd("status", "say what is looked at", address=OPTIONAL, words=None, needs=("kernel",), module=MODULE,
      text=lambda record, view: _status_text(record, view), example="::status",
      help="The dump and the system in it: how its kernel was found, its CPUs and memory, how long it had been up, its "
      "load, its taints, and if it panicked why, and on which CPU.", hint=False)  # fmt: skip
def status(call: Call) -> Iterator[LinuxStatus]:
    """The dump and the system in it, and how its kernel was found."""
    kernel, uname = call.kernel, call.kernel.uname
    image = kernel.symbols.image
    told = machine_status(
        call,
        kernel=kernel.describe(),
        host=uname.get("nodename") or None,
        release=uname["release"],
        version=uname["version"],
        machine=uname["machine"],
        symbols=len(image) if image is not None else 0,
        modules=tuple(module.name for module in kernel.module_images),
        recognised=kernel.recognised,
    )
    ended = panic(kernel)
    yield LinuxStatus(
        **{name: getattr(told, name) for name in _MEMBERS},
        online_cpus=online(kernel),
        uptime=uptime(kernel),
        load=load_averages(kernel),
        tasks=_number(call, "nr_threads"),
        taints=taints(kernel),
        panic_message=ended.message if ended else None,
        panic_cause=ended.cause if ended else None,
        panic_cpu=ended.cpu if ended else None,
        panic_thread=ended.thread if ended else None,
    )


def _number(call: Call, name: str) -> int | None:
    try:
        return int.from_bytes(call.kernel.memory.read(call.kernel.place(name), 4), "little")
    except Error:
        return None


def _status_text(record: LinuxStatus, view: View) -> str:
    """The lines of any dump, and what is known of this system behind them."""
    lines = [status_text(record, view)]
    running = []
    if record.uptime is not None:
        running.append(f"up {duration(record.uptime)}")
    if record.load is not None:
        running.append("load " + ", ".join(f"{one:.2f}" for one in record.load))
    if record.online_cpus is not None:
        running.append(f"{record.online_cpus} CPU{'s' if record.online_cpus != 1 else ''} online")
    if record.tasks is not None:
        running.append(f"{record.tasks} tasks")
    if running:
        lines.append(f"running: {'; '.join(running)}")
    if record.taints is not None:
        lines.append("taints: " + (", ".join(f"{one.letter} ({one.meaning})" for one in record.taints) or "none"))
    if record.panic_message is not None or record.panic_cause is not None:
        cpu = f" on CPU {record.panic_cpu}" if record.panic_cpu is not None else ""
        lines.append(f"panic{cpu}: {record.panic_message or record.panic_cause}")
        if record.panic_message and record.panic_cause:
            lines.append(f"cause: {record.panic_cause}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds as people write them: 3 days, 01:02:03."""
    days, rest = divmod(int(seconds), 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} day{'s' if days > 1 else ''}, {clock}" if days else clock


# its end


@dataclass(frozen=True, slots=True)
class PanicFact:
    """A line of what is known of the kernel's end."""

    name: str
    value: int | str


@dcmd("panicinfo", "show what is known of the kernel's end", address=NONE, needs=("kernel",), module=MODULE,
      text=lambda record, view: _panic_text(record, view), pipe=lambda record: None, example="::panicinfo",
      help="CPU and task of the panic, its message and cause as the log tells them, when it was, and the registers "
      "that the dump holds of that CPU. A dump of a running system has nothing there.", hint=False)  # fmt: skip
def panicinfo(call: Call) -> Iterator[PanicFact]:
    """CPU, thread, message and registers of the panic."""
    kernel = call.kernel
    found: Panic | None = panic(kernel)
    if found is None:
        raise CommandError("the kernel has not panicked, as far as it tells")
    facts = (("cpu", found.cpu), ("thread", found.thread), ("pid", found.pid), ("comm", found.name),
             ("time", f"{found.time:.6f}" if found.time is not None else None), ("message", found.message),
             ("cause", found.cause))  # fmt: skip
    yield from (PanicFact(name, value) for name, value in facts if value is not None)
    for cpu in kernel.cpus():
        if cpu.id == found.cpu:
            yield from (PanicFact(name, value) for name, value in cpu.registers.items() if name != "pid")


def _panic_text(record: PanicFact, view: View) -> str:
    if isinstance(record.value, str):
        return f"{record.name:>16} {record.value}"
    shown = str(record.value) if record.name in ("cpu", "pid") else f"{record.value:x}"
    return f"{record.name:>16} {shown:>{view.pointer_width}}"


@dataclass(frozen=True, slots=True)
class Time:
    """A point of the kernel's time."""

    value: int
    unit: str
    """"ns" or "ticks", since the system started."""
    text: str
    date: str | None = None
    """In universal time, where the kernel's clock of the day is found."""


@dcmd("time", "show the time at which the dump was taken", address=OPTIONAL, plain_usage=True, synopsis="[-dlx]",
      module=MODULE, needs=("kernel",), example="::time",
      options=[flag("d", "in decimal"), flag("l", "clock ticks instead of nanoseconds"), flag("x", "in hexadecimal")],
      text=lambda record, _: record.text + (f" ({record.date} UTC)" if record.date else ""),
      help="Nanoseconds since the system started, and the date; or clock ticks.")  # fmt: skip
def time(call: Call) -> Iterator[Time]:
    """The kernel's clock as it stood."""
    from kdbg.kernels.linux.clock import clocks, jiffies
    from kdbg.lang.formats_numbers import prefixed

    if call.options.d and call.options.x:
        raise UsageError("")
    told = clocks(call.kernel)
    try:
        value = jiffies(call.kernel) if call.options.l else round((told.uptime or 0) * 1e9)
    except Error as error:
        raise CommandError(f"the clock cannot be read: {error}") from None
    if not call.options.l and told.uptime is None:
        raise CommandError("the kernel's clock is not found")
    shown = (
        f"0x{value:x}" if call.options.x else f"0t{value}" if call.options.d else prefixed(value, call.session.radix)
    )
    date = None
    if told.time is not None and not call.options.l:
        date = f"{datetime.datetime.fromtimestamp(told.time, datetime.UTC):%Y-%m-%d %H:%M:%S}"
    yield Time(value, "ticks" if call.options.l else "ns", shown, date)


MODULES = Table((padded_pointer("ADDR", "address"), padded_pointer("BASE", "base"), hexadecimal("SIZE", "size", 8),
                 text("NAME", "name", 0)))  # fmt: skip


@dcmd("modinfo", "list the kernel's modules", address=NONE, needs=("kernel",), module=MODULE, table=MODULES,
      example="::modinfo")  # fmt: skip
def modinfo(call: Call) -> Iterator[Module]:
    """The loaded modules, the newest first: address of struct module, base and size of what it has in memory."""
    yield from call.kernel.modules()
