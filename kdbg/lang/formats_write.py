"""Format lists that search memory (``l L M``) or write to it (``v w W Z z``)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdbg.errors import CommandError, ReadError, SymbolNotFound, TypeNotFound
from kdbg.lang.formats import MARGIN, Item, Status
from kdbg.lang.formats_numbers import MASK, digits
from kdbg.lang.lexer import Char
from kdbg.symbols.table import STT_FUNC
from kdbg.target import Space

if TYPE_CHECKING:
    from kdbg.lang.session import Session

SEARCH_SIZES = {"l": 2, "L": 4, "M": 8}
WRITE_SIZES = {"v": 1, "w": 2, "W": 4, "Z": 8}
_FIELDS = {1: 8, 2: 8, 4: 16, 8: 24}
CHUNK = 1 << 16


UNSUPPORTED = "operation not supported by target"
NOT_DATA = "Symbol table entry is not a data object"


class NotWritten(Exception):
    """A value could not be written.

    A failure that has no reason of its own shows the one before it, as mdb does with its error number.
    """

    def __init__(self, session: Session, reason: str = "") -> None:
        self.reason: str = reason or session.scratch.get("reason", UNSUPPORTED)
        super().__init__(self.reason)
        session.scratch["reason"] = self.reason


def evaluated(session: Session, item: Item, failure: str) -> int:
    """The value of an item behind the letter: a number, or text of the language that leaves it in dot.

    Raises `CommandError`: ``failure`` and the item, or that a letter is no value.
    """
    if isinstance(item, int):
        return item
    if isinstance(item, Char):
        raise CommandError(f"expected immediate value instead of '{item}'")
    if not session.execute(item):
        raise CommandError(f'{failure} "{item}": failed to evaluate command')
    return session.dot


def search(session: Session, space: Space, char: str, items: Sequence[Item]) -> Status:
    """Go up from dot until (data & mask) == value, or until data cannot be read; dot is left there.

    Raises `CommandError`. A repeat count is ignored, as it is in adb: the repetition ends.
    """
    if not items:
        raise CommandError(f"expected value following {char}")
    if len(items) > 2:
        raise CommandError(f"only value and mask may follow {char}")
    start, size = session.dot, SEARCH_SIZES[char]
    values = [evaluated(session, item, "failed to evaluate") for item in items]
    full = (1 << 8 * size) - 1
    value, mask = values[0] & full, (values[1] if len(values) > 1 else MASK) & full
    address, found = _search(session, space, start, size, value, mask)
    if found:
        session.out.field(session.label(address))
        session.out.newline()
    session.dot = address
    return Status.ENDED


def _search(session: Session, space: Space, address: int, size: int, value: int, mask: int) -> tuple[int, bool]:
    """Where the search ended, and whether with success."""
    target = session.target
    while True:
        try:
            data = target.read_some(address, CHUNK - address % CHUNK or CHUNK, space)
        except ReadError:
            return address, False
        whole = len(data) // size * size
        if not whole:
            return _step(session, space, address, size, value, mask)
        at = _place(data[:whole], size, value, mask)
        if at >= 0:
            return address + at & MASK, True
        address = address + whole & MASK


def _place(data: bytes, size: int, value: int, mask: int) -> int:
    """Offset of the first number of ``size`` bytes that is the value under the mask, or -1."""
    if mask == (1 << 8 * size) - 1:
        pattern, at = value.to_bytes(size, "little"), 0
        while (at := data.find(pattern, at)) >= 0 and at % size:
            at += 1
        return at
    numbers = struct.iter_unpack({2: "<H", 4: "<I", 8: "<Q"}[size], data)
    return next((index * size for index, (number,) in enumerate(numbers) if number & mask == value), -1)


def _step(session: Session, space: Space, address: int, size: int, value: int, mask: int) -> tuple[int, bool]:
    """Try the one value that lies across the end of a piece."""
    try:
        data = session.target.read(address, size, space)
    except ReadError:
        return address, False
    if int.from_bytes(data, "little") & mask == value:
        return address, True
    return _search(session, space, address + size & MASK, size, value, mask)


def write_values(session: Session, space: Space, char: str, items: Sequence[Item]) -> Status:
    """Write values from dot on, and show what each replaces; dot is the last one's place. Raises `CommandError`."""
    if not items:
        raise CommandError(f"expected value to write following {char}")
    address = session.dot

    def write(place: int, value: int) -> int:
        if char == "z":
            return write_typed(session, space, place, value)
        size = WRITE_SIZES[char]
        return write_sized(session, space, place, value & (1 << 8 * size) - 1, size)

    for item in items:
        value = evaluated(session, item, "failed to write")
        session.dot = address
        try:
            size = write(address, value)
        except NotWritten as error:
            session.increment = 0
            where = f"0x{address:x}"
            raise CommandError(
                f"failed to write {digits(value, session.radix)} at address {where}: {error.reason}"
            ) from None
        session.increment = size
        address = address + size & MASK
    return Status.DONE


def write_sized(session: Session, space: Space, address: int, value: int, size: int) -> int:
    """Write a number and show old and new; return its size. Raises `NotWritten`."""
    target = session.target
    try:
        old = int.from_bytes(target.read_some(address, size, space), "little")
        target.write(address, value.to_bytes(size, "little"), space)
        new = int.from_bytes(target.read_some(address, size, space), "little")
    except ReadError as error:
        raise NotWritten(session, error.reason) from None
    session.scratch.pop("reason", None)
    out = session.out
    out.field(f"{session.label(address)}:", MARGIN, left=True)
    _align(session, MARGIN)
    out.field(f"{old:#x}" if old else "0", _FIELDS[size], left=True)
    out.write("=")
    _align(session, 8)
    out.write(f"0x{new:x}\n")
    return size


def _align(session: Session, stop: int) -> None:
    if session.out.column % stop:
        session.out.tab(stop)


def write_typed(session: Session, space: Space, address: int, value: int) -> int:
    """Write a number as long as the type of the symbol there. Raises `NotWritten`."""
    from kdbg.symbols.model import Kind

    try:
        symbol, offset = session.target.nearest(address, session.distance)
        if offset:
            raise SymbolNotFound(f"{address:x}", "no symbol corresponds to address")
        if symbol.type == STT_FUNC:
            raise TypeNotFound(symbol.name, NOT_DATA)
        found = session.target.type_of(symbol)
    except (SymbolNotFound, TypeNotFound) as error:
        session.warn("no CTF data found at this address")
        raise NotWritten(session, error.reason) from None
    if found.resolved.kind not in (Kind.INTEGER, Kind.POINTER, Kind.ENUM):
        session.warn("CTF type should be integer, pointer, or enum")
        raise NotWritten(session)
    return write_checked(session, space, address, value, found.size)


def write_checked(session: Session, space: Space, address: int, value: int, size: int) -> int:
    """Write a number of a given size if it fits. Raises `NotWritten`."""
    if size < 8 and value >> 8 * size:
        length = (value.bit_length() + 7) // 8
        session.warn(f"value too big for the length of the write: supplied {length} bytes but maximum is {size} bytes")
        raise NotWritten(session)
    if size not in (1, 2, 4, 8):
        session.error_output.write(f"{session.program}: writes of size {size} are not supported\n ")
        raise NotWritten(session)
    return write_sized(session, space, address, value, size)
