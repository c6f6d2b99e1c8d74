"""::list and ::array, the addresses of what hangs together."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.language import bind
from kdbg.dcmds.registry import OPTIONAL, REQUIRED, Call, Word, dcmd
from kdbg.dcmds.typed.typenames import data_type, exact_symbol, lookup, number_reader, take_type_name
from kdbg.errors import CommandError, Error, ReadError, TypeNotFound, UsageError
from kdbg.lang.errors import Abort
from kdbg.lang.formats_numbers import MASK, digits
from kdbg.records import Address
from kdbg.symbols.model import Kind


@dcmd(
    "list",
    "walk a linked list",
    address=OPTIONAL,
    synopsis="type member [variable]",
    words=None,
    hint=False,
    text=lambda record, view: digits(record.address, view.session.radix),
    help="The addresses of all elements from the one at the address on, by the pointer that the member is, until it\n"
    "is 0 or points to the first one. $[offset] may stand for type and member. A variable holds each address in\n"
    "turn for the commands behind a pipe.",
    example="ffffff01c802b120::list proc_t p_next | ::print proc_t p_user.u_comm",
)
def list_(call: Call) -> Iterator[Address]:
    """Walk a linked list."""
    if not call.explicit or not call.words:
        raise UsageError("")
    pointer = call.target.bits // 8
    first = call.words[0]
    rest: list[Word]
    if isinstance(first, int):
        if len(call.words) != 1:
            raise UsageError("")
        offset, back, rest = first & 0xFFFFFFFF, 0, []
        if offset % pointer:
            raise Abort("offset must fall on a word boundary")
        offset -= offset >> 31 << 32
    else:
        offset, back, rest = _member(call, pointer)
    if len(rest) > 1 or (rest and not isinstance(rest[0], str)):
        raise UsageError("")
    if rest:
        bind(call, str(rest[0]), call.address)
    yield from _follow(call, offset, pointer, back)


NODES = ("struct list_head", "struct hlist_node", "struct llist_node", "struct rb_node")
"""Types of members (Linux) that point to the same member of the next element, not to its beginning."""


def _member(call: Call, pointer: int) -> tuple[int, int, list[Word]]:
    """Return the offset of the member that points to the next element, how far into it, and the words behind."""
    name, rest = take_type_name(call.words)
    if not rest or not isinstance(rest[0], str):
        raise UsageError("")
    member = rest[0]
    try:
        type_ = lookup(call, name).resolved
    except TypeNotFound as error:
        raise Abort(f"couldn't find type {name}: {error.reason}") from None
    try:
        if type_.kind not in (Kind.STRUCT, Kind.UNION):
            raise TypeNotFound(member, "Type is not a struct or union")
        found = type_.member(member)
    except TypeNotFound as error:
        raise Abort(f"couldn't find member {member} of type {name}: {error.reason}") from None
    if found.bit_offset % 8:
        raise Abort(f"member {member} of type {name} is an unsupported bitfield")
    if found.offset % pointer:
        raise Abort(f"{member} is not a word-aligned member")
    back = found.offset if found.type.resolved.spelling in NODES else 0
    return found.offset, back, rest[1:]


def _follow(call: Call, offset: int, pointer: int, back: int = 0) -> Iterator[Address]:
    address, seen = call.address, set[int]()
    while True:
        yield Address(address)
        seen.add(address)
        try:
            following = int.from_bytes(call.target.read((address + offset) & MASK, pointer), "little")
        except ReadError as error:
            raise CommandError(f"failed to read next pointer from object {address:x}: {error.reason}") from None
        following = following and following - back & MASK
        if following in (0, call.address):
            return
        if following in seen:
            raise CommandError(f"the list leads back to {following:x}, which is not its first element")
        address = following


@dcmd(
    "array",
    "walk an array",
    address=REQUIRED,
    synopsis="[type count] [variable]",
    words=None,
    hint=False,
    text=lambda record, view: digits(record.address, view.session.radix),
    help="The addresses of the elements of an array. Type and count need not be given for a variable whose type is\n"
    "known. A variable holds each address in turn for the commands behind a pipe.",
    example="hash_table::array 'struct entry *' 0t64",
)
def array(call: Call) -> Iterator[Address]:
    """Walk an array."""
    words = list(call.words)
    if len(words) >= 2:
        name, words = take_type_name(words)
        if not words:
            raise UsageError("")
        try:
            size = lookup(call, name).size
        except TypeNotFound as error:
            raise Abort(f"failed to look up type {name}: {error.reason}") from None
        count = words[0] if isinstance(words[0], int) else number_reader(call)(words[0])
        count &= 0xFFFFFFFF
        count -= count >> 31 << 32
        words = words[1:]
    else:
        size, count = _known_array(call)
    if len(words) > 1 or (words and not isinstance(words[0], str)):
        raise UsageError("")
    if words:
        bind(call, str(words[0]), call.address)
    for index in range(max(count, 0)):
        yield Address((call.address + index * size) & MASK)


def _known_array(call: Call) -> tuple[int, int]:
    """Size and number of the elements of the array that begins at the address."""
    try:
        type_ = data_type(call.target, exact_symbol(call.target, call.address))
        if type_.kind is not Kind.ARRAY:
            raise TypeNotFound(type_.spelling, "Type is not an array")
    except Error as error:
        label = call.session.label(call.address)
        raise CommandError(f"no symbol information for {label}: {error.reason}") from None
    return (type_.size // type_.count if type_.count else 0), type_.count
