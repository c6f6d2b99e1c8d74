"""What the dump is of: the system, its clock, its panic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import NONE, OPTIONAL, Call, View, dcmd, flag
from kdbg.errors import Error, ReadError, SymbolNotFound, UsageError

MODULE = "kernel"


@dataclass(frozen=True, slots=True)
class Status:
    """The system that the dump was taken of."""

    file: str
    kind: str
    """"domain crash dump" or "crash dump"."""
    bits: int
    node: str
    release: str
    version: str
    machine: str
    image_uuid: str | None
    """Of the boot; "" where none was set, None where the kernel has none."""
    panic: str | None = None
    """The message of the panic, where the dump is one that the kernel wrote itself."""
    content: str | None = None
    """Which pages such a dump holds."""
    panicked: str | None = None
    """"hypervisor" or "domain 0": which of the two that are in a dump of Solaris xVM; None for all others."""
    hypervisor_pages: int | None = None
    """Pages of the hypervisor's in such a dump."""
    damage: tuple[str, ...] = ()
    """What is wrong with the dump, a sentence each."""


@dcmd(
    "status",
    "say what is looked at",
    address=OPTIONAL,
    words=None,
    needs=("kernel",),
    module=MODULE,
    text=lambda record, _: _status_text(record),
    example="::status",
    help=(
        "Tells what the dump is, the machine that it was taken of, its release of the system and, where the "
        "kernel panicked, with which message."
    ),
    hint=False,
)
def status(call: Call) -> Iterator[Status]:
    """The dump and the system in it."""
    kernel, uname, image = call.kernel, call.kernel.uname, call.kernel.target.image
    native = image.format.startswith("illumos")
    below = kernel.hypervisor_panicked
    yield Status(
        file=call.target.name,
        kind="crash dump" if native else "domain crash dump",
        bits=kernel.bits,
        node=uname.get("nodename", "unknown machine"),
        release=uname.get("release", ""),
        version=uname.get("version", ""),
        machine=uname.get("machine", ""),
        image_uuid=image.uuid if native else _image_uuid(call),
        panic=image.panic_string if native else None,
        content=image.content if native else None,
        panicked=None if below is None else "hypervisor" if below else "domain 0",
        hypervisor_pages=image.hypervisor_pages if native and image.hypervisor_pages else None,
        damage=tuple(image.damage),
    )


UUID_BYTES = 37
"""UUID_PRINTABLE_STRING_LENGTH of <sys/uuid.h>."""


def _image_uuid(call: Call) -> str | None:
    try:
        data = call.target.read(call.kernel.symbol("dump_osimage_uuid").address, UUID_BYTES)
    except (SymbolNotFound, ReadError):
        return None
    return None if data[-1] else data.partition(b"\0")[0].decode("latin-1")


def _status_text(record: Status) -> str:
    lines = [
        f"debugging {record.kind} {record.file} ({record.bits}-bit) from {record.node}",
        f"operating system: {record.release} {record.version} ({record.machine})",
    ]
    if record.image_uuid is not None:
        lines.append(f"image uuid: {record.image_uuid or '(not set)'}")
    if record.panic is not None:
        lines.append(f"panic message: {record.panic}")
    if record.panicked is not None:
        both = record.hypervisor_pages is not None and record.hypervisor_pages > 1
        pages = f"; {record.hypervisor_pages} pages of it beside the kernel's" if both else ""
        who = "hypervisor below" if record.panicked == "hypervisor" else "kernel of"
        lines.append(f"panicked: the {who} domain 0{pages}")
    if record.content is not None:
        lines.append(f"dump content: {record.content}")
    lines += [f"damage: {sentence}" for sentence in record.damage]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Time:
    """A point of the kernel's time."""

    value: int
    unit: str
    """"ns" or "ticks", since the system started."""
    text: str


@dcmd(
    "time",
    "show the time at which the dump was taken",
    address=OPTIONAL,
    plain_usage=True,
    synopsis="[-dlx]",
    module=MODULE,
    options=[flag("d", "in decimal"), flag("l", "clock ticks instead of nanoseconds"), flag("x", "in hexadecimal")],
    needs=("kernel",),
    help="Nanoseconds since the system started, or clock ticks.",
    example="::time -l",
)
def time(call: Call) -> Iterator[Time]:
    """The kernel's clock as it stood."""
    from kdbg.kernels.solaris.clock import hrtime, lbolt
    from kdbg.lang.formats_numbers import prefixed

    if call.options.d and call.options.x:
        raise UsageError("")
    value = lbolt(call.kernel) if call.options.l else hrtime(call.kernel)
    if call.options.x:
        shown = f"0x{value & 0xFFFFFFFFFFFFFFFF:x}"
    else:
        shown = f"0t{value}" if call.options.d else prefixed(value, call.session.radix)
    yield Time(value, "ticks" if call.options.l else "ns", shown)


@dataclass(frozen=True, slots=True)
class PanicFact:
    """A line of what the kernel wrote down when it panicked."""

    name: str
    value: int | str


@dcmd(
    "panicinfo",
    "show what the kernel wrote down when it panicked",
    address=NONE,
    needs=("kernel",),
    module=MODULE,
    text=lambda record, view: _panic_text(record, view),
    example="::panicinfo",
    help=(
        "Shows what the kernel wrote down when it panicked: CPU, thread, message, registers. A dump of a "
        "running system has nothing there."
    ),
    hint=False,
)
def panicinfo(call: Call) -> Iterator[PanicFact]:
    """CPU, thread, message and registers of the panic."""
    from kdbg.kernels.solaris.registers import panic

    kernel = call.kernel
    try:
        yield PanicFact("cpu", kernel.load("cpu_t", kernel.symbol("panic_cpu").address).cpu_id)
    except Error as error:
        call.warn(f"failed to read 'panic_cpu': {error.reason}")
    try:
        yield PanicFact("thread", kernel.word_at("panic_thread"))
    except Error as error:
        call.warn(f"failed to read 'panic_thread': {error.reason}")
    found = panic(kernel)
    if found is None:
        call.fail("failed to read 'panicbuf': unknown symbol name")
        return
    yield PanicFact("message", found.message)
    for name, value in found.registers:
        yield PanicFact(name, value)


def _panic_text(record: PanicFact, view: View) -> str:
    if isinstance(record.value, str):
        return f"{record.name:>16} {record.value}"
    shown = str(record.value) if record.name == "cpu" else f"{record.value:x}"
    return f"{record.name:>16} {shown:>{view.pointer_width}}"
