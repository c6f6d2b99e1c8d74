"""Where a variable lies at an instruction: in memory, in a register, nowhere but known, or optimised away.

Source: DWARF 5, 2.6 (location descriptions), 7.7.3 (location lists); DWARF 4, 2.6.2 (.debug_loc).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kdbg.errors import FormatError, ReadError
from kdbg.symbols.dwarf import reading
from kdbg.symbols.dwarf.expressions import Cursor, evaluate
from kdbg.symbols.dwarf.functions import original
from kdbg.symbols.dwarf.types import AT_CONST_VALUE, AT_LOCATION
from kdbg.symbols.dwarf.units import (
    ADDRESSES,
    AT_LOCLISTS_BASE,
    BASE,
    DEFAULT,
    MOST_RANGES,
    OFFSETS,
    Entry,
    Unit,
    list_entries,
)

AT_FRAME_BASE = 0x40
LOCATIONS = {1: (BASE, "x"), 2: (ADDRESSES, "xx"), 3: (ADDRESSES, "xu"), 4: (OFFSETS, "uu"), 5: (DEFAULT, ""),
             6: (BASE, "a"), 7: (ADDRESSES, "aa"), 8: (ADDRESSES, "au")}  # fmt: skip
"""DW_LLE_*, as `kdbg.symbols.dwarf.units.RANGES`."""
OPTIMISED_OUT, IN_PIECES = "optimised out", "in several places"


@dataclass(frozen=True, slots=True)
class Located:
    """Where a variable is: one of address, value and data, or why it is not known."""

    address: int | None = None
    value: int | None = None
    """Of a register, or computed."""
    data: bytes | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a frame."""

    registers: Mapping[int, int]
    """By DWARF's numbers."""
    cfa: int | None
    """The stack pointer before the call of the frame's function."""
    read: Callable[[int, int], bytes]
    slide: int
    """What is added to the file's addresses."""


class _Elsewhere(Exception):
    """The expression tells no place, and why."""


def locate(entry: Entry, function: Entry, address: int, state: State) -> Located:
    """Where the variable of an entry is, in a frame of a function at an address of the file."""
    constant, holder = original(entry, AT_CONST_VALUE), original(entry, AT_LOCATION)
    if holder is None:
        found = constant.raw(AT_CONST_VALUE) if constant is not None else None
        if found is None:
            return Located(why=OPTIMISED_OUT)
        return Located(data=found[1]) if isinstance(found[1], bytes) else Located(value=found[1])
    try:
        program = _expression(holder, AT_LOCATION, address)
        return _place(program, function, address, state) if program else Located(why=OPTIMISED_OUT)
    except _Elsewhere as error:
        return Located(why=str(error))
    except (ValueError, IndexError, FormatError, ReadError):
        return Located(why="its place cannot be computed")


def _expression(entry: Entry, attribute: int, address: int) -> bytes:
    """The expression that holds at an address; empty where none does."""
    found = entry.raw(attribute)
    if found is None:
        return b""
    form, value = found
    if isinstance(value, bytes):
        return value
    unit = entry.unit
    if unit.encoding.version < 5:
        return next((code for start, end, code in _old_list(unit, value) if start <= address < end), b"")
    if form == reading.LOCLISTX:
        base = unit.root.number(AT_LOCLISTS_BASE) or 0
        value = base + unit._word(".debug_loclists", base + value * unit.encoding.offset)
    return next((code for start, end, code in _list(unit, value) if start <= address < end), b"")


def _list(unit: Unit, at: int) -> Iterator[tuple[int, int, bytes]]:
    base = unit.base()
    for kind, one, two, code in list_entries(unit, unit.info.file.section(".debug_loclists"), at, LOCATIONS, True):
        if kind == BASE:
            base = one
        elif kind == DEFAULT:
            yield 0, 1 << 64, code
        elif kind == OFFSETS:
            yield base + one, base + two, code
        else:
            yield one, two, code


def _old_list(unit: Unit, at: int) -> Iterator[tuple[int, int, bytes]]:
    data, width, base = unit.info.file.section(".debug_loc"), unit.encoding.address, unit.base()
    for _ in range(MOST_RANGES):
        start = int.from_bytes(data[at : at + width], "little")
        end = int.from_bytes(data[at + width : at + 2 * width], "little")
        at += 2 * width
        if not start and not end:
            return
        if start == (1 << 8 * width) - 1:
            base = end
            continue
        size = int.from_bytes(data[at : at + 2], "little")
        yield base + start, base + end, bytes(data[at + 2 : at + 2 + size])
        at += 2 + size


def _place(program: bytes, function: Entry, address: int, state: State) -> Located:
    register = _register(program)
    if register is not None:
        if register not in state.registers:
            return Located(why=f"in a register that is not known here ({register})")
        return Located(value=state.registers[register])
    if program[0] == 0x9E:  # DW_OP_implicit_value
        return Located(data=Cursor(program[1:], 0, 64).block())
    computed: list[bool] = []
    found = _evaluated(program, function, address, state, computed)
    return Located(value=found) if computed else Located(address=found)


def _register(program: bytes) -> int | None:
    """The register that an expression names as the place."""
    if 0x50 <= program[0] < 0x70 and len(program) == 1:
        return program[0] - 0x50
    return reading.uleb(program, 1)[0] if program[0] == 0x90 else None


def _evaluated(program: bytes, function: Entry, address: int, state: State, computed: list[bool]) -> int:
    bits = function.unit.info.file.bits
    mask = (1 << bits) - 1

    def refuse(why: str) -> Callable[[Cursor, list[int]], None]:
        def operation(*_: object) -> None:
            raise _Elsewhere(why)

        return operation

    def frame_base(cursor: Cursor, stack: list[int]) -> None:
        holder = original(function, AT_FRAME_BASE)
        base = _expression(holder, AT_FRAME_BASE, address) if holder is not None else b""
        register = _register(base) if base else None
        if register is not None and register in state.registers:
            found = state.registers[register]
        elif not base or register is not None or 0x91 in base[:1]:
            raise _Elsewhere("the frame's base is not known")
        else:
            found = _evaluated(base, function, address, state, [])
        stack.append(found + cursor.sleb() & mask)

    def frame_address(_: Cursor, stack: list[int]) -> None:
        if state.cfa is None:
            raise _Elsewhere("the frame's address is not known")
        stack.append(state.cfa)

    special = {
        0x03: lambda cursor, stack: stack.append(cursor.unsigned(bits // 8) + state.slide & mask),
        0x91: frame_base,
        0x9C: frame_address,
        0x9F: lambda _, __: computed.append(True),
        0x93: refuse(IN_PIECES),
        **dict.fromkeys((0xA0, 0xF2), refuse("optimised out, what it points to is not")),
        **dict.fromkeys((0xA3, 0xF3), refuse("known at the function's start only")),
    }
    return evaluate(program, state.registers, state.read, bits, None, special)
