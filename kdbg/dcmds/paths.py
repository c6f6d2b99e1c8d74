"""Member paths of ::print and ::printf: ``t_procp->p_user.u_comm``, ``[3].name``, ``next->next``.

A path starts with a separator or, without one, as if with ``->`` at a pointer and ``.`` elsewhere. Pointers on the way
are read from the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kdbg.errors import CommandError, ReadError, TypeNotFound
from kdbg.symbols.model import Kind, Type

MASK64 = (1 << 64) - 1
NO_MEMBER = "no such member of structure or union"
NOT_RECORD = "Type is not a struct or union"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads."""

    type: Type
    address: int
    bit: int
    """Bit offset of the last member from the start of its structure."""
    element: bool
    """Whether it ends in ``[0]`` behind a member that is a pointer."""
    followed: bool
    """Whether a pointer was read on the way."""


class PathError(CommandError):
    """A path that leads nowhere."""


def resolve(
    type_: Type,
    address: int,
    path: str,
    pointer: Callable[[int, int], int],
    index_of: Callable[[str], int],
    outside: Callable[[int, int], None],
) -> Place:
    """Follow a path from a type at an address.

    ``pointer`` reads a pointer of so many bytes; ``index_of`` reads the text between brackets; ``outside`` is told an
    index beyond the last one of an array, which is followed all the same. Raises `PathError`.
    """
    base, bit, at = type_.resolved, 0, 0
    element = named = followed = False
    separator, at = _separator(path, 0)
    if separator == "?":
        separator = "->" if base.kind is Kind.POINTER else "."
    while separator:
        if separator == "[":
            end = path.find("]", at)
            if end < 0:
                raise PathError("no trailing ']'")
            index = index_of(path[at:end]) & 0xFFFFFFFF
            if base.kind is Kind.POINTER:
                address, type_ = _follow(pointer, address, base)
                followed = True
                element = element or (index == 0 and named)
            elif base.kind is Kind.ARRAY and base.reference is not None:
                if index >= base.count:
                    outside(index, (base.count - 1) & 0xFFFFFFFF)
                type_ = base.reference
            else:
                raise PathError("cannot index into non-array, non-pointer type")
            base, size = type_.resolved, type_.size
            if size <= 0:
                raise PathError("cannot dereference void type")
            address, bit = (address + index * size) & MASK64, 0
            separator, at = _separator(path, end + 1)
            continue
        if separator == "->":
            if base.kind is not Kind.POINTER:
                raise PathError(f"{type_.spelling} is not a pointer type")
            address, type_ = _follow(pointer, address, base)
            base, bit, followed = type_.resolved, 0, True
        elif separator == ".":
            if base.kind not in (Kind.STRUCT, Kind.UNION):
                raise PathError(f"{type_.spelling} is not a struct or union type")
        else:
            raise PathError(f"'{path[at : at + 1]}' is not a valid delimiter")
        element, named = False, True
        end = _word(path, at)
        address, bit, type_ = _member(type_, base, address, path[at:end])
        base = type_.resolved
        separator, at = _separator(path, end)
    return Place(type_, address, bit, element, followed)


def _separator(path: str, at: int) -> tuple[str, int]:
    """Return the separator at a place and the place behind it; "" at the end, "?" where there is none."""
    if at >= len(path):
        return "", at
    if path[at] in ".[":
        return path[at], at + 1
    if path.startswith("->", at):
        return "->", at + 2
    return "?", at


def _word(path: str, at: int) -> int:
    """Return the end of the name that starts here; its first character may be any."""
    end = at + 1
    while end < len(path) and path[end].isascii() and (path[end].isalnum() or path[end] == "_"):
        end += 1
    return end


def _follow(pointer: Callable[[int, int], int], address: int, base: Type) -> tuple[int, Type]:
    try:
        value = pointer(address, base.size)
    except ReadError:
        raise PathError(f"could not dereference pointer {address & MASK64:x}") from None
    if base.reference is None:
        raise PathError("cannot dereference void type")
    return value, base.reference


def _member(type_: Type, base: Type, address: int, name: str) -> tuple[int, int, Type]:
    if base.kind not in (Kind.STRUCT, Kind.UNION):
        raise PathError(f"failed to find member {name} of {type_.spelling}: {NOT_RECORD}")
    try:
        member = base.member(name)
    except TypeNotFound as error:
        raise PathError(f"failed to find member {name} of {type_.spelling}: {error.reason}") from None
    return (address + member.bit_offset // 8) & MASK64, member.bit_offset, member.type
