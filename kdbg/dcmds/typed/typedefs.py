"""Definitions of structures for ::typedef, in the small part of C that mdb reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kdbg.symbols.model import Kind


@dataclass(frozen=True, slots=True)
class MemberOf:
    """A member as it is declared."""

    name: str
    type: str
    pointers: int
    count: int | None
    """Elements of an array; 0: flexible; None: no array."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A structure or union."""

    kind: Kind
    tag: str
    members: tuple[MemberOf, ...]


def parse(text: str, taken: Callable[[str], bool], number: Callable[[str], int]) -> Definition:
    """Read ``struct { int a; char *b[4]; }``, also with a tag. ``taken`` tells whether a type of a name exists.

    Raises `ValueError` whose text says what is wrong.
    """
    word, blank, rest = text.partition(" ")
    if not blank:
        raise ValueError("Invalid structure definition. Structure must start with either 'struct {' or 'union {'")
    if word not in ("struct", "union"):
        raise ValueError(f"Invalid start of definition. Expected 'struct' or 'union'. Found: '{word}'")
    kind = Kind.STRUCT if word == "struct" else Kind.UNION
    tag, brace, body = rest.lstrip(" ").partition("{")
    if not brace:
        raise ValueError(f"Missing opening brace for {text} definition. Expected '{{'. Found: '{tag[:1]}'")
    if tag:
        tag = tag.rstrip(" ")
        if not is_identifier(tag):
            raise ValueError(f"The name {tag} is not a valid C identifier.")
        before = text[: text.index("{")].rstrip(" ")
        if taken(before):
            raise ValueError(f"type name {before} already in use")
    body = body.lstrip(" ")
    if not body.endswith("}"):
        raise ValueError(f"Missing closing brace for {word} declaration. Expected '}}'.")
    members: list[MemberOf] = []
    body = body[:-1]
    while True:
        declaration, semicolon, body = body.partition(";")
        if not semicolon:
            raise ValueError("Cannot find semi-colon to delineate the end of a member.")
        members.append(_member(declaration, number))
        body = body.lstrip(" ")
        if not body:
            break
    _check(kind, members)
    return Definition(kind, tag, tuple(members))


def _member(declaration: str, number: Callable[[str], int]) -> MemberOf:
    type_, blank, name = declaration.rpartition(" ")
    if not blank:
        raise ValueError(f"Missing both a name and a type declaration for a member. Instead, found '{declaration}'")
    stripped = type_.rstrip("* ")
    pointers = type_[len(stripped) :].count("*")
    bare = name.lstrip("*")
    pointers += len(name) - len(bare)
    bare, bracket, rest = bare.partition("[")
    count: int | None = None
    if bracket:
        subscript, closing, _ = rest.partition("]")
        if not closing:
            raise ValueError(f"Found the beginning of an array size but no closing ']' in [{rest}")
        count = number(subscript) & 0xFFFFFFFF
        if count >> 31:
            raise ValueError("Array lengths cannot be negative")
    if not is_identifier(bare):
        raise ValueError(f"The name {bare} is not a valid C identifier.")
    return MemberOf(bare, stripped, pointers, count)


def _check(kind: Kind, members: list[MemberOf]) -> None:
    seen: set[str] = set()
    for position, member in enumerate(members):
        if member.name in seen:
            raise ValueError(f"duplicate name detected: {member.name}")
        seen.add(member.name)
        if member.count == 0:
            if kind is not Kind.STRUCT:
                raise ValueError("Flexible array members are only valid in structs.")
            if position != len(members) - 1:
                raise ValueError("Flexible array entries are only allowed to be the last entry in a struct")
            if position == 0:
                raise ValueError("Structs must have members aside from a flexible member")


def is_identifier(name: str) -> bool:
    """Whether it is a name in C."""
    return name.isascii() and name.isidentifier()
