"""``::dump``: memory in hexadecimal and as characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import OPTIONAL, Call, dcmd, flag, number
from kdbg.errors import ReadError, UsageError
from kdbg.lang.errors import Abort
from kdbg.lang.formats_numbers import MASK, prefixed
from kdbg.records import Text
from kdbg.target import Space

PARAGRAPH = 16
GROUP = 4
LARGEST_WIDTH, LARGEST_GROUP = 0x10, 0x100

Pieces = list[str]
"""A line in the pieces that stay together where lines are broken."""

_SHOWN = "".join(chr(b) if 32 <= b < 127 else "." for b in range(256))


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows look."""

    width: int
    """Bytes of a row."""
    group: int
    pad: int
    """Digits of an address."""
    text: bool
    reversed: bool

    def columns(self, cells: Callable[[int], str]) -> Pieces:
        """Cells of two columns, with blanks before each group."""
        pieces = []
        for at in range(self.width):
            if at % self.group == 0:
                pieces.append("  " if self.group == 1 and at and at % 8 == 0 else " ")
            pieces.append(cells(at))
        return pieces

    def heading(self, offset: int, marked: bool) -> Pieces:
        """The heading; the byte at ``offset`` is marked, or the labels begin with its number."""
        labels = [f"{at & 15:x}" if marked else f"{at + offset & 15:x}" for at in range(self.width)]

        def cell(at: int) -> str:
            return "\\/" if marked and at == offset else f" {labels[at]}"

        pieces = [" " * self.pad, "  ", *self.columns(cell)]
        if self.text:
            pieces += ["  ", *("v" if marked and at == offset else labels[at] for at in range(self.width))]
        return pieces

    def row(self, address: int, data: bytearray, left: int, right: int) -> Pieces:
        """A row; ``left`` and ``right`` bytes at its ends are blank."""
        last = self.width - right

        def cell(at: int) -> str:
            if at < left or at >= last:
                return "  "
            place = self.group * (at // self.group + 1) - at % self.group - 1 if self.reversed else at
            return f"{data[place]:02x}"

        pieces = [f"{address:0{self.pad}x}", ": ", *self.columns(cell)]
        if self.text:
            shown = "".join(_SHOWN[data[at]] if left <= at < last else " " for at in range(self.width))
            pieces += ["  ", shown]
        return pieces


@dcmd(
    "dump",
    "show memory in hexadecimal and as characters",
    address=OPTIONAL,
    synopsis="[-eqrstu] [-f|-p] [-g bytes] [-l bytes] [-w paragraphs]",
    options=[
        flag("e", "reverse the bytes of each group: little-endian numbers"),
        flag("f", "read the object file"),
        number("g", "bytes", "bytes of a group"),
        number("l", "bytes", "so many bytes"),
        flag("p", "the address is physical"),
        flag("q", "no characters"),
        flag("r", "number the rows from 0"),
        flag("s", "show one * for rows like the one before"),
        flag("t", "leave blank what was not asked for"),
        flag("u", "begin at the address itself, not at a multiple of 16"),
        flag("v", "show addresses in full width"),
        number("w", "paragraphs", "so many times 16 bytes in a row"),
    ],
    text=lambda record, view: record.text,
    help="Rows of 16 bytes, grouped by four. A repeat count is the number of bytes, as -l is.",
    example="0t80::dump -l 40",
)
def dump(call: Call) -> Iterator[Text]:
    """Rows of memory. Dot is left behind the last byte asked for."""
    options, session = call.options, call.session
    width = 1 if options.w is None else options.w
    group = GROUP if options.g is None else options.g
    length = options.l or 0
    if (options.p and options.f) or not 0 < width <= LARGEST_WIDTH or not 0 < group <= LARGEST_GROUP:
        raise UsageError("")
    if session.count > 1 and length:
        raise UsageError("")
    space = Space.OBJECT if options.f else Space.PHYSICAL if options.p or call.target.idle else Space.VIRTUAL
    out = session.out
    for pieces in _Dump(call, space, length or session.count, width * PARAGRAPH, group).rows():
        if out.wrapping:
            for piece in pieces:
                out.field(piece)
            out.newline()
        else:
            yield Text("".join(pieces))
    if call.loop:
        raise Abort("")


class _Dump:
    """One dump."""

    def __init__(self, call: Call, space: Space, length: int, width: int, group: int) -> None:
        self._call = call
        self._space = space
        options = call.options
        self.start = call.session.dot if space is Space.PHYSICAL else call.address
        self.asked = length
        if length and length - 1 > MASK - self.start:
            length = MASK - self.start + (1 if self.start else 0)
        if group & (group - 1) or width % group:
            group = GROUP
        self.trimmed = bool(options.t)
        self.aligned = not (options.u or options.r or options.e)
        if options.e and self.trimmed:
            length -= length % group
        self.length = length
        self.layout = Layout(width, group, self._pad(), not (options.q or options.e), bool(options.e))

    def _pad(self) -> int:
        if self._call.options.v:
            return 16
        length, address = self.length, self.start
        last = length - 1 if length > 1 or (address and length == 1) else length
        if not self._call.options.r:
            last += address
        return (last.bit_length() + 3) // 4

    def rows(self) -> Iterator[Pieces]:
        """Heading and rows. Raises `Abort` where a read fails before all that was asked for is shown."""
        options, layout = self._call.options, self.layout
        left = 0 if options.r else self.start % PARAGRAPH
        offset = left if self.aligned else 0
        address, length = self.start - offset, self.length + offset
        if not options.e:
            yield layout.heading(left, self.aligned)
        if not (self.trimmed and self.aligned):
            left = 0
        right = at = 0
        previous: bytes | None = None
        skipped = False
        # The buffers stay as the last dump has left them: what a file's end cuts off shows through.
        fresh = [bytearray(LARGEST_WIDTH * PARAGRAPH) for _ in range(2)]
        buffers = self._call.session.scratch.setdefault("dump", fresh)
        turn = 0
        reason = ""
        while at < length and not right:
            buffer = buffers[turn]
            if layout.width >= length - at:
                previous = None
                right = self._right_margin(address + at, length - at)
            left, right, read, reason, cut = self._fill(buffer, address, at, left, right, offset)
            if cut:
                previous = None
            if read == left and cut:
                at += layout.width
                break
            row = bytes(buffer[: layout.width])
            if options.s and previous is not None and row == previous:
                if not skipped:
                    yield ["*"]
                skipped = True
            else:
                yield layout.row(at if options.r else address + at, buffer, left, right)
                skipped = False
            previous = row if not left and not cut and at + layout.width < length else None
            turn, left, at = 1 - turn, 0, at + layout.width
        self._finish(address, at - right, offset, reason)

    def _right_margin(self, address: int, left_over: int) -> int:
        width = self.layout.width
        right = width - left_over if self.trimmed else 0
        if width - 1 > MASK - address:
            right = max(right, width - (MASK - address) - 1)
        return right

    def _fill(
        self, buffer: bytearray, address: int, at: int, left: int, right: int, offset: int
    ) -> tuple[int, int, int, str, bool]:
        """Read a row: the margins then, how far it was read, why it could not be, and whether it was cut short."""
        read, wanted = left, self.layout.width - right
        reason = ""
        while read < wanted:
            try:
                data = self._call.target.read_some(address + at + read, wanted - read, self._space)
            except ReadError as error:
                data, reason = b"", error.reason
            if data:
                buffer[read : read + len(data)] = data
                read += len(data)
            elif at + read < offset:
                left += 1
                read += 1
            else:
                return left, right + wanted - read, read, reason, True
        return left, right, read, reason, False

    def _finish(self, address: int, shown: int, offset: int, reason: str) -> None:
        session = self._call.session
        if shown - offset >= self.asked:
            session.dot, session.increment = self.start + self.asked & MASK, 0
        elif reason:
            where = prefixed(address + shown & MASK, 16)
            raise Abort(f"failed to read data at {where}: {reason}")
