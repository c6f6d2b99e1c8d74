"""Member paths of ::print and ::printf: ``t_procp->p_user.u_comm``, ``[3].name``, ``next->next``.

A path starts with a separator or, without one, as if with ``->`` at a pointer and ``.`` elsewhere. It is taken apart
once (`compile_path`); followed from an address, it reads the pointers on its way (`Path.follow`). What is wrong with it
is said when the way leads there, as in mdb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kdbg.errors import CommandError, ReadError, TypeNotFound
from kdbg.lang.formats_numbers import MASK
from kdbg.symbols.model import Kind, Type

NOT_RECORD = "Type is not a struct or union"
RECORDS = (Kind.STRUCT, Kind.UNION)


class PathError(CommandError):
    """A path that leads nowhere."""


@dataclass(frozen=True, slots=True)
class Add:
    """Go on by so many bytes."""

    distance: int


@dataclass(frozen=True, slots=True)
class Follow:
    """Read a pointer of so many bytes and go where it points."""

    size: int


@dataclass(frozen=True, slots=True)
class Outside:
    """Tell that an index is beyond the last one of an array, and go on."""

    index: int
    last: int


@dataclass(frozen=True, slots=True)
class Fail:
    """The end of a path that leads nowhere."""

    message: str


Step = Add | Follow | Outside | Fail


@dataclass(frozen=True, slots=True)
class Path:
    """A path taken apart, and where it leads."""

    steps: tuple[Step, ...]
    type: Type
    bit: int
    """Bit offset of the last member from the start of its structure."""
    element: bool
    """Whether it ends in ``[0]`` behind a member that is a pointer."""
    followed: bool
    """Whether there are pointers on the way."""
    width: int | None = None
    """Bits of a bit-field at its end whose type does not tell."""

    def follow(self, address: int, pointer: Callable[[int, int], int], outside: Callable[[int, int], None]) -> int:
        """The address that it leads to. Raises `PathError`."""
        for step in self.steps:
            if isinstance(step, Add):
                address = address + step.distance & MASK
            elif isinstance(step, Follow):
                try:
                    address = pointer(address, step.size)
                except ReadError:
                    raise PathError(f"could not dereference pointer {address & MASK:x}") from None
            elif isinstance(step, Outside):
                outside(step.index, step.last)
            else:
                raise PathError(step.message)
        return address


def compile_path(type_: Type, path: str, index_of: Callable[[str], int]) -> Path:
    """Take a path apart; ``index_of`` reads the text between brackets."""
    steps: list[Step] = []
    try:
        return _Compiler(type_, path, index_of, steps).path()
    except PathError as error:
        return Path((*steps, Fail(str(error))), type_, 0, False, False)
    except TypeNotFound as error:
        return Path((*steps, Fail(f"failed to resolve type: {error.reason}")), type_, 0, False, False)


class _Compiler:
    """A path on its way."""

    def __init__(self, type_: Type, path: str, index_of: Callable[[str], int], steps: list[Step]) -> None:
        self._text, self._index_of, self._steps = path, index_of, steps
        self._type, self._base = type_, type_.resolved
        self._bit = 0
        self._width: int | None = None
        self._element = self._named = self._followed = False

    def path(self) -> Path:
        separator, at = self._separator(0)
        if separator == "?":
            separator = "->" if self._base.kind is Kind.POINTER else "."
        while separator:
            at = self._index(at) if separator == "[" else self._member(separator, at)
            separator, at = self._separator(at)
        merged: list[Step] = []
        for step in self._steps:
            if isinstance(step, Add) and merged and isinstance(last := merged[-1], Add):
                merged[-1] = Add(last.distance + step.distance)
            else:
                merged.append(step)
        return Path(tuple(merged), self._type, self._bit, self._element, self._followed, self._width)

    def _separator(self, at: int) -> tuple[str, int]:
        """Return the separator at a place and the place behind it; "" at the end, "?" where there is none."""
        text = self._text
        if at >= len(text):
            return "", at
        if text[at] in ".[":
            return text[at], at + 1
        return ("->", at + 2) if text.startswith("->", at) else ("?", at)

    def _go(self, type_: Type | None) -> None:
        if type_ is None:
            raise PathError("cannot dereference void type")
        self._type, self._base, self._bit, self._width = type_, type_.resolved, 0, None

    def _follow(self) -> None:
        self._steps.append(Follow(self._base.size))
        self._followed = True
        self._go(self._base.reference)

    def _index(self, at: int) -> int:
        end = self._text.find("]", at)
        if end < 0:
            raise PathError("no trailing ']'")
        index = self._index_of(self._text[at:end]) & 0xFFFFFFFF
        if self._base.kind is Kind.POINTER:
            self._follow()
            self._element = self._element or (index == 0 and self._named)
        elif self._base.kind is Kind.ARRAY:
            if index >= self._base.count:
                self._steps.append(Outside(index, (self._base.count - 1) & 0xFFFFFFFF))
            self._go(self._base.reference)
        else:
            raise PathError("cannot index into non-array, non-pointer type")
        size = self._type.size
        if size <= 0:
            raise PathError("cannot dereference void type")
        self._steps.append(Add(index * size))
        return end + 1

    def _member(self, separator: str, at: int) -> int:
        if separator == "->":
            if self._base.kind is not Kind.POINTER:
                raise PathError(f"{self._type.spelling} is not a pointer type")
            self._follow()
        elif separator == ".":
            if self._base.kind not in RECORDS:
                raise PathError(f"{self._type.spelling} is not a struct or union type")
        else:
            raise PathError(f"'{self._text[at : at + 1]}' is not a valid delimiter")
        self._element, self._named = False, True
        end = self._word(at)
        name = self._text[at:end]
        try:
            if self._base.kind not in RECORDS:
                raise TypeNotFound(name, NOT_RECORD)
            member = self._base.member(name)
        except TypeNotFound as error:
            raise PathError(f"failed to find member {name} of {self._type.spelling}: {error.reason}") from None
        self._steps.append(Add(member.bit_offset // 8))
        self._go(member.type)
        self._bit, self._width = member.bit_offset, member.bit_size
        return end

    def _word(self, at: int) -> int:
        """Return the end of the name that starts here; its first character may be any."""
        text, end = self._text, at + 1
        while end < len(text) and text[end].isascii() and (text[end].isalnum() or text[end] == "_"):
            end += 1
        return end
