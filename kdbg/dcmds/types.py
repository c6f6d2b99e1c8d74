"""::sizeof, ::offsetof, ::typelist, ::typedef: what is known of types, and making new ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import NONE, Call, View, dcmd, flag, word
from kdbg.dcmds.typed.typedefs import Definition, parse
from kdbg.dcmds.typed.typenames import lookup, number_reader, take_type_name
from kdbg.errors import CommandError, Error, TypeNotFound, UsageError
from kdbg.lang.errors import Silent
from kdbg.lang.formats_numbers import digits, prefixed
from kdbg.lang.source import file_name
from kdbg.records import Text
from kdbg.symbols.model import Kind, Type
from kdbg.symbols.synthetic import SyntheticTypes, synthetic_types


@dataclass(frozen=True, slots=True)
class Size:
    """Answer of ::sizeof."""

    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Offset:
    """Answer of ::offsetof."""

    type: str
    member: str
    offset: int
    """In bytes."""
    bit: int
    """And so many bits."""
    size: int


@dataclass(frozen=True, slots=True)
class TypeName:
    """A line of ::typelist."""

    name: str


def _named(call: Call, name: str) -> Type:
    try:
        return lookup(call, name)
    except TypeNotFound as error:
        raise CommandError(f"failed to look up type {name}: {error.reason}") from None


def _size_text(record: Size, view: View) -> str:
    return f"sizeof ({record.type}) = {prefixed(record.size, view.session.radix)}"


@dcmd(
    "sizeof",
    "show the size of a type",
    address=NONE,
    synopsis="type",
    words=None,
    hint=False,
    text=_size_text,
    pipe=lambda record: record.size,
    help="The size in bytes. In a pipe the number alone is passed on.",
    example="::sizeof kthread_t",
)
def sizeof(call: Call) -> Iterator[Size]:
    """Show the size of a type."""
    name, rest = take_type_name(call.words)
    if rest:
        raise UsageError("")
    found = _named(call, name)
    if found.resolved.kind in (Kind.STRUCT, Kind.UNION) and getattr(found.resolved.loader, "found_by_form", False):
        call.warn(f"{name}: its members were found by their form; it may be longer than they are")
    yield Size(name, found.size)


def _offset_text(record: Offset, view: View) -> str:
    radix = view.session.radix
    bit = f".{digits(record.bit, radix)}" if record.bit else ""
    size = f", sizeof (...->{record.member}) = {prefixed(record.size, radix)}" if record.size > 0 else ""
    return f"offsetof ({record.type}, {record.member}) = {prefixed(record.offset, radix)}{bit}{size}"


@dcmd(
    "offsetof",
    "show the offset of a member",
    address=NONE,
    synopsis="type member",
    words=None,
    hint=False,
    text=_offset_text,
    pipe=lambda record: record.offset,
    help="Offset and size of a member of a structure or union, in bytes. In a pipe the offset alone is passed on.",
    example="::offsetof proc_t p_user",
)
def offsetof(call: Call) -> Iterator[Offset]:
    """Show the offset of a member."""
    name, rest = take_type_name(call.words)
    if len(rest) != 1 or not isinstance(rest[0], str):
        raise UsageError("")
    type_ = _named(call, name).resolved
    if type_.kind not in (Kind.STRUCT, Kind.UNION):
        raise CommandError(f"failed to find member {rest[0]} of type {name}: Type is not a struct or union")
    try:
        member = type_.member(rest[0])
    except TypeNotFound as error:
        raise CommandError(f"failed to find member {rest[0]} of type {name}: {error.reason}") from None
    if call.piped_out and member.bit_offset % 8:
        raise CommandError(f"member {rest[0]} of type {name} is not byte-aligned")
    yield Offset(name, rest[0], member.offset, member.bit_offset % 8, member.type.size)


@dcmd(
    "typelist",
    "list all types",
    address=NONE,
    words=None,
    hint=False,
    text=lambda record, view: str(record.name),
    help="The names of all types of all objects, one a line, then those made by ::typedef.",
    example="::typelist ! grep kmem",
)
def typelist(call: Call) -> Iterator[TypeName]:
    """List all types."""
    for container in call.target.type_containers():
        for type_ in container.roots():
            yield TypeName(type_.spelling)
    if call.target.synthetic is not None:
        for type_ in call.target.synthetic.container.roots():
            yield TypeName(type_.spelling)


@dcmd(
    "typedef",
    "make types",
    address=NONE,
    synopsis="[-c model | -d | -l | -r file | -w file ] [type] [name]",
    options=(
        word("c", "model", "make the types of C in a data model: LP64, ILP32 or LP32"),
        flag("d", "forget all types that were made"),
        flag("l", "list them"),
        word("r", "file", "take over the types of a file: an ELF file with types, or bare CTF"),
        word("w", "file", "write all types that were made to a file"),
    ),
    words=None,
    text=lambda record, view: str(record.text),
    help="Makes another name of a type, or of a structure or union that is defined with it; both can then be used\n"
    "wherever a type can. A definition is one word in quotes: members are declared as in C, without bit-fields and\n"
    "pointers to functions. The types that the target has go before those that are made here.",
    example='::typedef "struct { int id; char name[16]; }" entry_t',
)
def typedef(call: Call) -> Iterator[Text]:
    """Make types. Source: mdb_typedef.c. What goes wrong is said on standard output, as there."""
    options, words = call.options, list(call.words)
    given = sum(1 for letter in "cdlrw" if options[letter] not in (None, False))
    if given > 1 or (given and words):
        raise UsageError("")
    made = synthetic_types(call.target)
    if options.d:
        made.clear()
    elif options.c is not None:
        yield from _base(made, options.c)
    elif options.l:
        yield from (Text(t.spelling) for t in made.container.roots() if t.spelling not in ("struct ", "union "))
    elif options.r is not None:
        _read(call, made, options.r)
    elif options.w is not None:
        _write(call, made, options.w)
    elif len(words) < 2:
        raise UsageError("")
    else:
        try:
            _define(call, made, [str(one) for one in words])
        except _Said as error:
            yield Text(str(error))
            raise Silent from None


class _Said(Exception):
    """What is wrong with a definition."""


def _base(made: SyntheticTypes, model: str) -> Iterator[Text]:
    wide = {"lp64": True, "ilp32": False, "lp32": False}.get(model.lower())
    if wide is None:
        yield Text(f"invalid data model: {model}")
        raise UsageError("")
    made.add_base(wide)


def _read(call: Call, made: SyntheticTypes, path: str) -> None:
    from kdbg.symbols.ctf_file import read_types

    if call.session.settings.safe:
        raise CommandError("files are not read: --safe")
    try:
        made.read(read_types(file_name(path)))
    except OSError as error:
        call.warn(f"failed to parse ctf data in {path}: {error.strerror}")
    except Error as error:
        call.warn(f"failed to parse ctf data in {path}: {error.reason}")
    else:
        return
    raise CommandError(f"failed to create synthetics from file {path}")


def _write(call: Call, made: SyntheticTypes, path: str) -> None:
    if call.session.settings.safe:
        raise CommandError("files are not written to: --safe")
    try:
        with open(file_name(path), "wb") as file:
            file.write(made.bytes())
    except OSError as error:
        raise CommandError(f"failed to write synthetics to file {path}: {error.strerror}") from None


def _known(call: Call, name: str) -> Type | None:
    try:
        return lookup(call, name)
    except TypeNotFound:
        return None


def _define(call: Call, made: SyntheticTypes, words: list[str]) -> None:
    """Make a type. Raises `_Said`."""
    name = words[-1]
    if len(words) == 2 and "{" in words[0]:
        try:
            definition = parse(words[0], lambda tag: _known(call, tag) is not None, number_reader(call))
        except ValueError as error:
            raise _Said(str(error)) from None
        if _known(call, name) is not None:
            raise _Said(f"typedef name {name} already exists")
        _add(call, made, definition, name)
        return
    source = " ".join(words[:-1])
    if len(words) > 2:
        source += " "
    if _known(call, name) is not None:
        raise _Said(f"{name} already exists")
    type_ = _known(call, source)
    if type_ is None:
        raise _Said(f"{source} does not exist")
    try:
        made.add_typedef(name, type_)
    except TypeNotFound:
        raise _Said("failed to create typedef") from None


def _add(call: Call, made: SyntheticTypes, definition: Definition, name: str) -> None:
    number = made.add_record(definition.kind, definition.tag)
    try:
        for member in definition.members:
            type_: Type | int | None = _known(call, member.type)
            if type_ is None:
                raise _Said(f"failed to add member {member.name}: type {member.type} does not exist")
            for _ in range(member.pointers):
                try:
                    type_ = made.add_pointer(type_)
                except TypeNotFound:
                    raise _Said(f"failed to add a pointer type as part of member: {member.name}") from None
            if member.count is not None:
                type_ = _array(call, made, type_, member.count, member.name)
            try:
                made.add_member(number, member.name, type_)
            except TypeNotFound:
                raise _Said(f"failed to create member {member.name}") from None
        try:
            made.add_typedef(name, number)
        except TypeNotFound:
            raise _Said(f"failed to add typedef for {name}") from None
    except _Said:
        made.remove(number)
        raise


def _array(call: Call, made: SyntheticTypes, of: Type | int, count: int, name: str) -> int:
    index = _known(call, "long")
    if index is None:
        raise _Said(
            "failed to lookup the type 'long' for array indexes, are you running mdb without a target or "
            "using ::typedef -c?"
        )
    try:
        return made.add_array(of, index, count)
    except TypeNotFound:
        raise _Said(f"failed to create array type for memeber{name}") from None
