"""Typed memory as text, in the form of ::print: one line a member, braces around structures, brackets around arrays.

A `Renderer` walks a type as mdb does, member by member with the depth of each; what is on a line that cannot be
finished (a member that cannot be read) is dropped, the error told in its place, and the structure ends there. What can
be known of a type beforehand is worked out once (`Element`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from kdbg.dcmds.typed.leaves import NOT_NUMBER, Leaf, Leaves, Style, Unshown
from kdbg.dcmds.typed.memory import Memory
from kdbg.dcmds.typed.texts import internet, internet6, is_char, printable
from kdbg.errors import ReadError
from kdbg.lang.formats_numbers import MASK
from kdbg.symbols.model import Encoding, Kind, Type

TAB = 4
DEEPEST = 200
"""Levels below which structures are taken for damaged types."""
COMPOSITE = frozenset({Kind.STRUCT, Kind.UNION, Kind.ARRAY})
RECORDS = frozenset({Kind.STRUCT, Kind.UNION})
SHORT_FORMS = frozenset({"in6_addr_t", "struct in6_addr", "struct in_addr"})
"""Structures that are shown as one value."""
UNLIMITED = 1 << 62


@dataclass(slots=True)
class Shown:
    """One line of ::print. Not frozen: they are made by the hundred thousand."""

    text: str
    name: str | None = None
    """Of the member."""
    type: str | None = None
    address: int | None = None
    value: int | str | None = None
    """Of an integer, enumeration, pointer or text; None for all else and where it cannot be read."""


@dataclass(slots=True)
class Scope:
    """One visit of a type: the whole, or the elements of one array."""

    style: Style
    leaves: Leaves
    address: int
    limit: int
    """Levels to show from here."""
    nest: int = 0
    """Levels outside of it."""
    depth: int = 0
    """That of the member shown last."""
    closed: int = UNLIMITED
    """The depth below which nothing is shown: inside a structure with a short form of its own."""
    prefix: str | None = None
    suffix: str = ""
    delimiter: str = "\n"


@dataclass(slots=True)
class Element:
    """What is known of a member before its value is: its type, and what stands before the value."""

    name: str
    """As messages give it."""
    path: str
    spelling: str
    type: Type
    base: Type
    kind: Kind
    offset: int
    """From the start of its structure, in bits."""
    indent: str
    head: str
    """Behind the address, up to the equals sign."""
    leaf: Leaf | None
    """Reads and shows a value that has no parts."""
    width: int | None
    """Bits of a bit-field whose type does not tell."""


@dataclass(slots=True)
class Hole:
    """The place in a structure up to which members have been seen, in bits."""

    offset: int = 0
    union: bool = False


class _Stop(Exception):
    """A member cannot be shown: the visit ends."""


class Renderer:
    """Shows values. ``warn`` tells what went wrong; ``label`` shows an address as symbol and offset."""

    def __init__(
        self,
        memory: Memory,
        style: Style,
        warn: Callable[[str], None],
        label: Callable[[int], str],
        left_over: str | None = None,
    ) -> None:
        self.memory = memory
        self.style = style
        self.warn = warn
        self._leaves = Leaves(memory, style, label, left_over)
        self._line: list[str] = []
        self._element: Element | None = None
        self._place = 0
        self._value: int | str | None = None
        self._holes: dict[int, Hole] = {}
        self._plans: dict[tuple[Type, bool, int, str | None, str], tuple[Element, ...]] = {}
        self._singles: dict[tuple[Type, str | None], Element] = {}
        self._tops: dict[tuple[Type, bool, int, str | None], Element] = {}

    def show(self, type_: Type, address: int, prefix: str | None = None, suffix: str = "") -> Iterator[Shown]:
        """Show a type's value at an address; with a prefix, under that name."""
        single = self._singles.get((type_, prefix))
        if single is not None:
            yield from self._single(single, address)
            return
        scope = Scope(self.style, self._leaves, address, self.style.depth, prefix=prefix, suffix=suffix)
        element = self._top(scope, type_)
        if element.kind in COMPOSITE:
            if self.style.values:
                self.memory.prepare(address, type_.size)
        elif element.leaf is not None and not self.style.holes:
            self._singles[type_, prefix] = element
            yield from self._single(element, address)
            return
        else:
            self.memory.forget()
        with suppress(_Stop):
            yield from self._visit(scope, element, 0, 0)
        if scope.depth:
            yield from self._close_all(scope)

    def _single(self, element: Element, address: int) -> Iterator[Shown]:
        """Show a value that has no parts, without further ado."""
        self.memory.forget()
        assert element.leaf is not None
        try:
            text, value = element.leaf(address, 0, element.name)
        except Unshown as failure:
            self._stop(failure)
            return
        place = f"{address & MASK:x} " if self.style.addresses else ""
        text = f"{element.indent}{place}{element.head}{text}"
        yield Shown(text, element.path, element.spelling, address, value)

    def show_bits(self, type_: Type, address: int, bit: int, prefix: str, bits: int | None = None) -> Iterator[Shown]:
        """Show a member that begins within a byte, or has ``bits`` of its own."""
        scope = Scope(self.style, self._leaves, address, self.style.depth, prefix=prefix)
        self.memory.forget()
        element = self._make(scope, "", type_, bit, 0, bits)
        with suppress(_Stop):
            yield from self._visit(scope, element, bit, 0)

    # what is known beforehand

    def _top(self, scope: Scope, type_: Type) -> Element:
        """Make the element of a whole value."""
        key = (type_, scope.style.names, scope.nest, scope.prefix)
        element = self._tops.get(key)
        if element is None:
            element = self._tops[key] = self._make(scope, "", type_, 0, 0)
        return element

    def _members(self, scope: Scope, base: Type, depth: int) -> tuple[Element, ...]:
        """Make the elements of a structure, at this depth."""
        key = (base, scope.style.names, depth + scope.nest, scope.prefix if depth <= 1 else None, scope.suffix)
        plan = self._plans.get(key)
        if plan is None:
            plan = tuple(self._make(scope, m.name, m.type, m.bit_offset, depth, m.bit_size) for m in base.members)
            self._plans[key] = plan
        return plan

    def _make(self, scope: Scope, name: str, type_: Type, offset: int, depth: int, field: int | None = None) -> Element:
        base, style = type_.resolved, scope.style
        spelling = self._spelling(type_, base)
        words: list[str] = []
        if style.types:
            words.append(spelling)
            if not spelling.endswith("*") or (depth == 0 and (not style.names or scope.prefix is None)):
                words.append(" ")
        if style.names:
            if scope.prefix is not None and depth <= 1:
                words.append(scope.prefix if depth == 0 else scope.prefix + scope.suffix)
            words.append(name)
            if depth > 0 and not name and not scope.prefix:
                words.append("(anon)")
        if style.types and base.kind is Kind.INTEGER and base.encoding is not None:
            bits = field or base.encoding.bits
            if bits % 8 or offset % 8 or bits // 8 > 8 or bits // 8 != base.size:
                words.append(f" :{bits}")
        if depth != 0 or (style.names and scope.prefix is not None):
            words.append(" = " if style.values else " ")
        indented = style.types or style.names or style.addresses
        indent = " " * ((depth + scope.nest) * TAB) if indented else ""
        path = name
        if scope.prefix is not None and depth <= 1:
            path = scope.prefix + scope.suffix + name if depth else scope.prefix
        told = scope.prefix if depth == 0 and scope.prefix is not None else name
        leaf = None
        if base.kind not in COMPOSITE and base.kind is not Kind.FORWARD and style.values:
            try:
                leaf = scope.leaves.field(base, field) if field else scope.leaves.of(base, spelling)
            except Unshown as failure:
                leaf = _raiser(str(failure))
        return Element(told, path, spelling, type_, base, base.kind, offset, indent, "".join(words), leaf, field)

    def _spelling(self, type_: Type, base: Type) -> str:
        spelling = type_.spelling
        if self.style.base_types and base.spelling not in (spelling, "struct ", "enum ", "union "):
            spelling += f" <<{base.spelling}>>"
        return spelling

    # lines

    def _end(self) -> Shown:
        """Finish the line."""
        text = "".join(self._line)
        self._line.clear()
        element = self._element
        if element is None:
            return Shown(text)
        self._element = None
        return Shown(text, element.path, element.spelling, self._place, self._value)

    def _stop(self, failure: Unshown) -> _Stop:
        self._line.clear()
        if str(failure):
            self.warn(str(failure))
        return _Stop()

    # the walk

    def _visit(self, scope: Scope, element: Element, offset: int, depth: int) -> Iterator[Shown]:
        """Show one element and, of a structure, its members. ``offset``: in bits from the scope's address."""
        for level in range(scope.depth - 1, depth - 1, -1):
            if level < scope.closed:
                yield from self._close(scope, level)
        if depth <= scope.closed:
            scope.closed = UNLIMITED
        elif depth > scope.closed:
            return
        if depth > scope.limit:
            return
        style, line = scope.style, self._line
        if style.holes:
            yield from self._track(scope, element, offset, depth)
        line.append(element.indent)
        place = self._place = scope.address + offset // 8
        if style.addresses:
            bit = f".{offset % 8:x}" if offset % 8 else ""
            line.append(f"{place & MASK:x}{bit} ")
        line.append(element.head)
        scope.depth = depth
        self._element = element
        self._value = None
        kind = element.kind
        if element.leaf is not None:
            try:
                text, self._value = element.leaf(place, offset % 8, element.name)
            except Unshown as failure:
                raise self._stop(failure) from None
            line.append(text)
        elif kind is Kind.ARRAY:
            yield from self._array(scope, element.base, place)
        elif kind in RECORDS:
            self._record(scope, element, place)
        elif kind is Kind.FORWARD:
            line.append(f"{'; ' if style.values else ''}<forward declaration of {element.base.spelling}>")
        if scope.delimiter == "\n":
            yield self._end()
        else:
            line.append(scope.delimiter)
        if kind in RECORDS and depth < scope.limit and depth < scope.closed and scope.nest + depth < DEEPEST:
            for member in self._members(scope, element.base, depth + 1):
                yield from self._visit(scope, member, offset + member.offset, depth + 1)

    def _record(self, scope: Scope, element: Element, address: int) -> None:
        if element.spelling in SHORT_FORMS and scope.style.values:
            six = element.spelling != "struct in_addr"
            try:
                data = self.memory.read(address, 16 if six else 4)
            except ReadError as error:
                failure = scope.leaves.failure(f"failed to read {element.name} pointer", address, error)
                raise self._stop(failure) from None
            self._line.append(internet6(data) if six else internet(data))
            scope.closed = scope.depth
            return
        self._line.append("{ ... }" if scope.depth == scope.limit else "{")
        scope.delimiter = "\n"

    # arrays

    def _array(self, scope: Scope, base: Type, address: int) -> Iterator[Shown]:
        style, line = scope.style, self._line
        if not style.values:
            return
        if scope.depth == scope.limit:
            line.append("[ ... ]")
            return
        element = base.reference
        if element is None:
            line.append("[ ??? ] (Invalid type identifier)")
            return
        content = element.resolved
        if self._text_array(scope, content, base.count, address):
            return
        count = base.count if style.elements is None else min(base.count, style.elements)
        if count == 0:
            line.append("[ ... ]")
            return
        inner = Scope(style, scope.leaves, address, scope.limit - scope.depth - 1, scope.nest + scope.depth + 1)
        if content.kind in COMPOSITE:
            line.append("[")
            yield self._end()
            yield from self._elements(inner, element, content.size, count)
            yield from self._close_all(inner)
            indent = " " * ((scope.depth + scope.nest) * TAB)
            line.append(f"{indent}]" if count == base.count else f"{indent}... ]")
            return
        inner.style = replace(style, types=False, names=False, addresses=False)
        inner.delimiter = ", "
        line.append("[ ")
        kept = self._element
        yield from self._elements(inner, element, content.size, count - 1)
        inner.address = address
        inner.delimiter = " ]" if count == base.count else ", ... ]"
        yield from self._elements(inner, element, content.size, 1, count - 1)
        self._element, self._place, self._value = kept, address, None

    def _elements(self, scope: Scope, type_: Type, size: int, count: int, first: int = 0) -> Iterator[Shown]:
        """Show elements of an array. Those without parts are put on the line without further ado."""
        element, start = self._top(scope, type_), scope.address
        leaf, line, delimiter = element.leaf, self._line, scope.delimiter
        if leaf is None or scope.style.holes or element.indent or element.head:
            for index in range(first, first + count):
                scope.address = start + index * size
                with suppress(_Stop):
                    yield from self._visit(scope, element, 0, 0)
            # mdb looks for the last one's hole behind the array
            scope.address = start + (first + count) * size
            return
        for index in range(first, first + count):
            try:
                text, _ = leaf(start + index * size, 0, element.name)
            except Unshown as failure:
                self._stop(failure)
                continue
            line.append(text)
            line.append(delimiter)

    def _text_array(self, scope: Scope, content: Type, count: int, address: int) -> bool:
        """Show an array of characters as a text if it is one."""
        limit = scope.style.characters
        if limit is not None and count > limit:
            return False
        if content.encoding is None:
            scope.leaves.forget(NOT_NUMBER)
            return False
        if not is_char(content.encoding):
            return False
        try:
            start = self.memory.some(address, min(8, count)) if count else b""
        except ReadError:
            return False
        # of the bytes looked at first the last one only counts if more follow it
        if not start or not printable(start[:-1] if len(start) == min(8, count) else start):
            return False
        try:
            text = self.memory.read(address, count).split(b"\0", 1)[0]
        except ReadError as error:
            raise self._stop(scope.leaves.failure("failed to read char array", address, error)) from None
        if not printable(text):
            return False
        self._value = text.decode("ascii")
        self._line.append(f'[ "{self._value}" ]')
        return True

    # the end of structures, and holes in them

    def _close(self, scope: Scope, level: int) -> Iterator[Shown]:
        depth = level + scope.nest
        if scope.style.holes and not self._hole(depth).union:
            seen, expected = self._hole(depth + 1).offset, self._hole(depth).offset
            if seen < expected:
                yield from self._show_hole(scope, level + 1, seen, expected)
        self._line.append(" " * (depth * TAB) + ("}," if level == 0 and scope.nest > 0 else "}"))
        self._element = None
        yield self._end()

    def _close_all(self, scope: Scope) -> Iterator[Shown]:
        for level in range(scope.depth - 1, -1, -1):
            yield from self._close(scope, level)

    def _hole(self, depth: int) -> Hole:
        return self._holes.setdefault(depth, Hole())

    def _track(self, scope: Scope, element: Element, offset: int, depth: int) -> Iterator[Shown]:
        """Show the hole before an element, and note where the next one should begin."""
        base = element.base
        hole = self._hole(depth + scope.nest)
        if depth != 0 and offset > hole.offset:
            yield from self._show_hole(scope, depth, hole.offset, offset)
        integer = base.kind is Kind.INTEGER and base.encoding is not None
        bits = base.encoding.bits if integer and base.encoding else base.size * 8
        hole.offset = offset + (element.width or bits)
        if base.kind in COMPOSITE:
            hole.union = base.kind is Kind.UNION
            self._hole(depth + scope.nest + 1).offset = offset

    def _show_hole(self, scope: Scope, depth: int, start: int, end: int) -> Iterator[Shown]:
        bits = end - start
        if bits > 64:  # in pieces that end where the next eight bytes begin
            while start < end:
                piece = min((start // 64 + 1) * 64, end)
                yield from self._show_hole(scope, depth, start, piece)
                start = piece
            return
        size = bits // 8
        odd = bool(start % 8 or bits % 8 or size & (size - 1))
        spelling = "unsigned" if odd else f"uint{bits}_t"
        style, line = scope.style, self._line
        place = scope.address + start // 8
        if style.types or style.names or style.addresses:
            line.append(" " * ((depth + scope.nest) * TAB))
        if style.addresses:
            line.append(f"{place & MASK:x}.{start % 8:x} " if start % 8 else f"{place & MASK:x} ")
        if style.types:
            line.append(f"{spelling} ")
        if style.names:
            line.append("<<HOLE>>")
        if odd and style.types:
            line.append(f" :{bits}")
        line.append(" = " if style.values else " ")
        value = None
        if style.values:
            leaf = scope.leaves.integer(Encoding(bits=bits), spelling)
            try:
                text, value = leaf(place, start % 8, "<<HOLE>>")
            except Unshown as failure:
                self._stop(failure)
                return
            line.append(text)
        text = "".join(line)
        if scope.delimiter == "\n":
            line.clear()
            yield Shown(text, "<<HOLE>>", spelling, place, value)
        else:
            line.append(scope.delimiter)


def _raiser(message: str) -> Leaf:
    def leaf(address: int, bit: int, name: str) -> tuple[str, int | None]:
        raise Unshown(message)

    return leaf
