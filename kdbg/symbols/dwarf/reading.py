"""Forms and abbreviations: how entries of .debug_info are taken apart, and how they are passed over fast.

Most abbreviations have attributes of fixed sizes only: such an entry is passed over with one addition.

Source: DWARF 5, 7.5.3 (abbreviations) and 7.5.6 (forms); DWARF 4 and 3 for what they call otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdbg.errors import FormatError

Data = bytes | memoryview

(ADDR, BLOCK2, BLOCK4, DATA2, DATA4, DATA8, STRING, BLOCK, BLOCK1, DATA1, FLAG, SDATA, STRP, UDATA, REF_ADDR, REF1,
 REF2, REF4, REF8, REF_UDATA, INDIRECT, SEC_OFFSET, EXPRLOC, FLAG_PRESENT, STRX, ADDRX, REF_SUP4, STRP_SUP, DATA16,
 LINE_STRP, REF_SIG8, IMPLICIT_CONST, LOCLISTX, RNGLISTX, REF_SUP8, STRX1, STRX2, STRX3, STRX4, ADDRX1, ADDRX2,
 ADDRX3, ADDRX4) = (1, *range(3, 0x2D))  # fmt: skip
REF_ALT, STRP_ALT = 0x1F20, 0x1F21

_FIXED = {
    DATA1: 1, DATA2: 2, DATA4: 4, DATA8: 8, DATA16: 16, FLAG: 1, FLAG_PRESENT: 0, IMPLICIT_CONST: 0, REF1: 1, REF2: 2,
    REF4: 4, REF8: 8, REF_SIG8: 8, REF_SUP4: 4, REF_SUP8: 8, STRX1: 1, STRX2: 2, STRX3: 3, STRX4: 4, ADDRX1: 1,
    ADDRX2: 2, ADDRX3: 3, ADDRX4: 4,
}  # fmt: skip
_OFFSETS = frozenset({STRP, LINE_STRP, SEC_OFFSET, STRP_SUP, REF_ALT, STRP_ALT})
_LEBS = frozenset({UDATA, SDATA, REF_UDATA, STRX, ADDRX, LOCLISTX, RNGLISTX})
_BLOCKS = {BLOCK1: 1, BLOCK2: 2, BLOCK4: 4}
REFERENCES = frozenset({REF1, REF2, REF4, REF8, REF_UDATA})
"""Forms whose values count from the unit."""
STRINGS = {STRP: ".debug_str", LINE_STRP: ".debug_line_str"}
MOST_ATTRIBUTES = 256
AT_SIBLING, AT_NAME = 0x01, 0x03


@dataclass(frozen=True, slots=True)
class Encoding:
    """What sizes depend on."""

    address: int
    """Bytes of an address."""
    offset: int
    """Bytes of an offset in a section: 4, or 8 in 64-bit DWARF."""
    version: int


@dataclass(frozen=True, slots=True)
class Abbreviation:
    """What entries with one code have."""

    tag: int
    has_children: bool
    attributes: tuple[tuple[int, int, int], ...]
    """(attribute, form, its value where the form is `IMPLICIT_CONST`)."""
    size: int | None
    """Bytes of the attributes where they are fixed."""
    sibling: tuple[int, int] | None
    """(offset from the first attribute, bytes) of DW_AT_sibling where that is fixed and counts from the unit."""
    name: int | None
    """Offset of DW_AT_name from the first attribute, where that is fixed."""


def uleb(data: Data, at: int) -> tuple[int, int]:
    """(a number in ULEB128, where it ends). Raises `IndexError`."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while shift < 70:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
    raise IndexError(at)


def sleb(data: Data, at: int) -> tuple[int, int]:
    """(a number in SLEB128, where it ends). Raises `IndexError`."""
    value, end = uleb(data, at)
    bits = 7 * (end - at)
    return (value - (1 << bits) if value >> bits - 1 else value), end


def form_size(form: int, encoding: Encoding) -> int | None:
    """Bytes of a form's values; None where they differ."""
    if form == ADDR:
        return encoding.address
    if form == REF_ADDR:
        return encoding.address if encoding.version <= 2 else encoding.offset
    return encoding.offset if form in _OFFSETS else _FIXED.get(form)


def skip_form(data: Data, at: int, form: int, encoding: Encoding) -> int:
    """Where a value ends. Raises `IndexError`, `FormatError` for a form that is not known."""
    size = form_size(form, encoding)
    if size is not None:
        return at + size
    if form in _LEBS:
        return uleb(data, at)[1]
    if form == STRING:
        return _end_of_string(data, at) + 1
    if form in (BLOCK, EXPRLOC):
        length, at = uleb(data, at)
        return at + length
    if form in _BLOCKS:
        return at + _BLOCKS[form] + int.from_bytes(data[at : at + _BLOCKS[form]], "little")
    if form == INDIRECT:
        actual, at = uleb(data, at)
        if actual != INDIRECT:
            return skip_form(data, at, actual, encoding)
    raise FormatError("DWARF", f"an attribute of the form {form:#x}, which is not known")


def value_of(data: Data, at: int, form: int, encoding: Encoding) -> Any:
    """A value as it stands: a number, bytes of a block or of a string. Raises `IndexError`, `FormatError`."""
    size = form_size(form, encoding)
    if size is not None:
        return True if form == FLAG_PRESENT else int.from_bytes(data[at : at + size], "little")
    if form in _LEBS:
        return sleb(data, at)[0] if form == SDATA else uleb(data, at)[0]
    if form == STRING:
        return bytes(data[at : _end_of_string(data, at)])
    if form in (BLOCK, EXPRLOC):
        length, at = uleb(data, at)
        return bytes(data[at : at + length])
    if form in _BLOCKS:
        start = at + _BLOCKS[form]
        return bytes(data[start : start + int.from_bytes(data[at:start], "little")])
    if form == INDIRECT:
        actual, at = uleb(data, at)
        if actual != INDIRECT:
            return value_of(data, at, actual, encoding)
    raise FormatError("DWARF", f"an attribute of the form {form:#x}, which is not known")


def _end_of_string(data: Data, at: int) -> int:
    step = 256
    while at < len(data):
        end = bytes(data[at : at + step]).find(b"\0")
        if end >= 0:
            return at + end
        at += step
    raise IndexError(at)


def abbreviations(data: Data, at: int, encoding: Encoding) -> dict[int, Abbreviation]:
    """A table of .debug_abbrev: code -> what its entries have. Raises `FormatError` where it is damaged."""
    found: dict[int, Abbreviation] = {}
    try:
        while True:
            code, at = uleb(data, at)
            if not code:
                return found
            tag, at = uleb(data, at)
            children, at = data[at] != 0, at + 1
            attributes = []
            for _ in range(MOST_ATTRIBUTES):
                name, at = uleb(data, at)
                form, at = uleb(data, at)
                constant = 0
                if form == IMPLICIT_CONST:
                    constant, at = sleb(data, at)
                if not name and not form:
                    break
                attributes.append((name, form, constant))
            found[code] = _abbreviation(tag, children, tuple(attributes), encoding)
    except IndexError:
        raise FormatError("DWARF", "a table of abbreviations is cut short") from None


def _abbreviation(
    tag: int, children: bool, attributes: tuple[tuple[int, int, int], ...], encoding: Encoding
) -> Abbreviation:
    total: int | None = 0
    sibling = name_at = None
    for name, form, _ in attributes:
        size = form_size(form, encoding)
        if name == AT_SIBLING and total is not None and size is not None and form in REFERENCES:
            sibling = total, size
        if name == AT_NAME:
            name_at = total
        total = total + size if total is not None and size is not None else None
    return Abbreviation(tag, children, attributes, total, sibling, name_at)
