"""``::dis`` and the modes of the disassembler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kdbg.dcmds.registry import NONE, OPTIONAL, Call, View, dcmd, flag, number
from kdbg.disasm import ARM, MODES, Instruction, disassemble, mode_of, previous
from kdbg.errors import CommandError, SymbolNotFound, UsageError
from kdbg.lang.formats_numbers import digits
from kdbg.records import Text
from kdbg.symbols.table import STT_FUNC
from kdbg.target import Space

LABEL = 32
WINDOW = 10
"""Instructions before and after an address, unless said otherwise."""

_Show = Callable[[Instruction, View], str]
"""What stands before an instruction."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of disassembly."""

    address: int
    label: str
    instruction: str
    before: str = field(repr=False)
    """The address as the options want it shown, up to a multiple of eight columns."""


def _tabbed(text: str) -> str:
    """The text up to the next multiple of eight columns, unless it ends at one."""
    return text.ljust((len(text) + 7) // 8 * 8)


def _labelled(record: Instruction, view: View) -> str:
    return _tabbed(f"{view.label(record.address) + ':':<{LABEL}}")


def _bare(record: Instruction, view: View) -> str:
    return _tabbed(f"{record.address:<{LABEL}x}")


def _both(record: Instruction, view: View) -> str:
    width = view.pointer_width
    return _tabbed(f"{record.address:<{width}x}  {view.label(record.address) + ':':<{LABEL}}")


def _text(record: Line, view: View) -> str:
    out = view.session.out
    # Where lines are broken at all, an instruction that does not fit goes to the next line as a whole.
    gap = "\n" if out.wrapping and len(record.before) + len(record.instruction) > out.columns else ""
    return record.before + gap + record.instruction


def _start(call: Call) -> int:
    """The address meant: the word behind the options, the address, or dot. Raises `CommandError`."""
    if not call.words:
        return call.address
    word = call.words[0]
    if isinstance(word, int):
        return word
    if word.startswith("-"):
        raise UsageError("")
    if word[:1].isdigit():
        return call.session.number(word)
    try:
        return call.session.lookup(word).address
    except SymbolNotFound:
        raise CommandError(f"symbol '{word}' not found") from None


@dcmd(
    "dis",
    "disassemble a function, or the code around an address",
    address=OPTIONAL,
    synopsis="[-abfw] [-n cnt] [addr]",
    options=[
        flag("a", "show addresses as numbers"),
        flag("b", "show addresses as numbers and as symbols"),
        flag("f", "read the object file, not memory"),
        flag("w", "show what lies before and after, even at the start of a function"),
        number("n", "cnt", "so many instructions (before and after, in a window)"),
    ],
    words=1,
    text=_text,
    pipe=lambda record: "text",
    help=(
        "At the start of a function, the whole function; anywhere else, the ten instructions before the address and "
        "the ten after it. Where a window begins is counted from the start of the function."
    ),
    example="::dis -n 4 resume",
)
def dis(call: Call) -> Iterator[Line]:
    """Instructions, one a line. Dot is left behind the last one."""
    show: _Show = _bare if call.options.a else _both if call.options.b else _labelled
    address = _start(call)
    end, window = None, bool(call.options.w)
    if not window and (call.explicit or call.words):
        end = _function_end(call, address)
        window = end is None
    window = window and not call.loop
    count = call.options.n
    if count is not None:
        end = None
    return _shown(call, show, address, WINDOW if count is None else count, end or None, window)


def _function_end(call: Call, address: int) -> int | None:
    """Where the function that begins at the address ends (0: it has no size); None where none begins."""
    try:
        symbol, offset = call.target.nearest(address, call.session.distance)
    except SymbolNotFound:
        return None
    if offset or symbol.type != STT_FUNC:
        return None
    return address + symbol.size if symbol.size else 0


def _shown(call: Call, show: _Show, address: int, count: int, end: int | None, window: bool) -> Iterator[Line]:
    session, target = call.session, call.target
    space = Space.OBJECT if call.options.f or target.idle else Space.VIRTUAL

    def read(place: int, size: int) -> bytes:
        return target.read_some(place, size, space)

    def line(found: Instruction) -> Line:
        return Line(found.address, session.label(found.address), found.text, show(found, session.view))

    at = previous(session, read, address, count) if window else address
    while at < address if window else (at < end if end is not None else count >= 0):
        found = disassemble(session, read, at)
        if found is None:
            call.fail()
            return
        yield line(found)
        at = found.end
        count -= 0 if window else 1
    if window:
        at = address
        for _ in range(count + 1):
            found = disassemble(session, read, at)
            if found is None:
                call.fail()
                return
            yield line(found)
            at = found.end
    session.dot, session.increment = at, 0


@dcmd(
    "dismode,$V",
    "show or choose the disassembler's mode: ia16, ia32, amd64, or default, which decodes nothing",
    address=NONE,
    synopsis="[mode]",
    words=1,
    example="::dismode ia32",
    help="Without a word it shows how bytes are taken for instructions; with one of ::disasms it changes that.",
    hint=False,
)
def dismode(call: Call) -> Iterator[Text]:
    """The mode, after it was changed if one is given."""
    session = call.session
    if call.words:
        word = call.words[0]
        name = word if isinstance(word, str) else digits(word, 10)
        if name not in MODES and name != ARM:
            raise CommandError("failed to set disassembly mode: unknown disassembler name")
        session.disassembler = name
    mode = mode_of(session)
    yield Text(f"disassembly mode is {mode} ({MODES.get(mode, 'ARM 64-bit disassembler')})")


@dcmd(
    "disasms", "list the modes of the disassembler", address=NONE, example="::disasms",
    help="Lists the modes that ::dismode knows.",
    hint=False,
)  # fmt: skip
def disasms(call: Call) -> Iterator[Text]:
    """Every mode and what it is."""
    for name, description in MODES.items():
        yield Text(f"{name:<24} - {description}")
