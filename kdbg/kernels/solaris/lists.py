"""The kernel's lists, trees and rings: bounded, proof against cycles, and they tell where they stopped.

Each walk is an iterator of addresses. One that cannot begin raises `StoppedError` before the first address, one that is
cut short raises it in the middle; ``started`` tells the two apart. Its text is what the language prints, but for
`follow`, whose callers have words of their own for its ``address`` and ``reason``. Where an element leads back to one
that was seen already the walk ends too: a damaged list is the normal case in a crash dump.

Sources: <sys/list_impl.h> (list_t), <sys/avl_impl.h> (avl_tree_t; a 64-bit node packs its parent with its index and
balance into one word, a 32-bit one has members for them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MOST = 1 << 20
"""Elements after which a walk is taken for a damaged one."""
MOST_FOLLOWED = 4_000_000
"""Steps after which `follow` ends: more elements than any kernel's memory holds."""
MOST_ELEMENT = 1 << 20
"""Bytes beyond which an element's size is taken for rubbish."""
AVL_INDEX_SHIFT, AVL_PARENT_MASK = 2, ~7
"""Of a 64-bit avl_pcb: where the node's index in its parent lies, and the bits of the parent's address."""

Stop = bool | None
"""What a check says of an element: None to go on, True to end the walk there without an error."""


class StoppedError(Error):
    """A walk that could not begin (``started`` is False), or that an element ended; the text is the message's."""

    def __init__(self, text: str, started: bool, address: int, reason: str = "") -> None:
        super().__init__(f"{text}: {reason}" if reason else text)
        self.started = started
        self.address = address
        self.reason = reason


def unreadable(address: int, error: ReadError) -> StoppedError:
    """What stops a walk at an element that cannot be read."""
    return StoppedError(f"{address:x}", True, address, error.reason)


def prefixed(address: int) -> str:
    """A number as C's ``%#lx`` writes it: 0x1f, and 0 for 0."""
    return f"{address:#x}" if address else "0"


class Guard:
    """What a walk has seen: it raises where an element comes a second time, or too many come."""

    def __init__(self, what: str, most: int = MOST) -> None:
        self._what = what
        self._most = most
        self._seen: set[int] = set()

    def __call__(self, address: int) -> int:
        """The address, if it is new. Raises `StoppedError`."""
        if address in self._seen:
            text = f"{self._what} at {prefixed(address)} comes a second time: the list is a loop"
            raise StoppedError(text, True, address)
        if len(self._seen) >= self._most:
            text = f"more than {self._most} {self._what}s: the list is taken for damaged"
            raise StoppedError(text, True, address)
        self._seen.add(address)
        return address


@dataclass(frozen=True, slots=True)
class Links:
    """Where the links of this kernel's lists and trees lie."""

    list_head: Layout
    node_size: int
    node_next: int
    head_at: int
    """Of list_head in a list_t."""
    word: int


def _links(kernel: Solaris) -> Links:
    node = kernel.type("list_node_t")
    head = kernel.type("list_t")
    members = {"size": "list_size", "offset": "list_offset", "first": "list_head.list_next"}
    return Links(
        Layout(head, members),
        node.size,
        node.member("list_next").offset,
        head.member("list_head").offset,
        kernel.bits // 8,
    )


@dataclass(frozen=True, slots=True)
class Tree:
    """Where the members of this kernel's avl_tree_t and avl_node_t lie."""

    tree: Layout
    node: Layout
    packed: bool


def _tree(kernel: Solaris) -> Tree:
    node = kernel.type("avl_node_t")
    members = {"left": "avl_child[0]", "right": "avl_child[1]"}
    packed = node.has("avl_pcb")
    members |= {"pcb": "avl_pcb"} if packed else {"parent": "avl_parent", "index": "avl_child_index"}
    tree = {"root": "avl_root", "offset": "avl_offset", "size": "avl_size", "count": "avl_numnodes"}
    return Tree(Layout(kernel.type("avl_tree_t"), tree), Layout(node, members), packed)


Check = Callable[[int, bytes], Stop]
"""Looks at an element (address, bytes): goes on (None), ends the walk (True), or raises `StoppedError`."""


def list_elements(
    kernel: Solaris, address: int, name: str = "list_t", element: str = "list element", check: Check | None = None
) -> Iterator[int]:
    """Addresses of the elements of the list_t at an address, in order.

    ``name``, ``element``: what messages call the list and its elements. Raises `StoppedError`.
    """
    links = kernel.part(_links)
    memory = kernel.memory
    try:
        head = links.list_head.read(memory.read, address)
    except ReadError as error:
        raise StoppedError(f"failed to read {name} at {prefixed(address)}", False, address, error.reason) from None
    size, offset = head["size"], head["offset"]
    mask = (1 << kernel.bits) - 1
    if size < offset + links.node_size & mask:
        raise StoppedError(f"invalid or uninitialized {name} at {prefixed(address)}", False, address)
    end, at, guard = address + links.head_at, head["first"], Guard(element)
    where = offset + links.node_next
    while at != end:
        found = at - offset & mask
        data = _element(memory, found, size, element)
        guard(found)
        if check is not None and check(found, data):
            return
        yield found
        at = int.from_bytes(data[where : where + links.word], "little")


def _element(memory: Any, address: int, size: int, name: str, started: bool = True) -> bytes:
    try:
        if size > MOST_ELEMENT:
            raise ReadError(address)
        data: bytes = memory.read(address, size)
    except ReadError as error:
        raise StoppedError(f"failed to read {name} at {prefixed(address)}", started, address, error.reason) from None
    return data


def avl_elements(
    kernel: Solaris, address: int, name: str = "avl_tree_t", element: str = "tree element", check: Check | None = None
) -> Iterator[int]:
    """Addresses of the elements of the avl_tree_t at an address, in their order. Raises `StoppedError`."""
    form = kernel.part(_tree)
    memory, mask = kernel.memory, (1 << kernel.bits) - 1
    try:
        tree = form.tree.read(memory.read, address)
    except ReadError as error:
        raise StoppedError(f"failed to read {name} at {prefixed(address)}", False, address, error.reason) from None
    size, offset = tree["size"], tree["offset"]
    if size < offset + form.node.size & mask or offset > size:  # the sum wraps as the kernel's would
        text = f"invalid avl_tree_t at {address:x}, avl_size:{_int(size)}, avl_offset:{_int(offset)}"
        raise StoppedError(text, False, address, "unknown symbol name")

    def read(node: int, started: bool) -> tuple[int, bytes, Mapping[str, Any]]:
        found = node - offset & mask
        data = _element(memory, found, size, element, started)
        return found, data, form.node.unpack(data[offset : offset + form.node.size])

    def leftmost(node: int, started: bool) -> tuple[int, bytes, Mapping[str, Any]]:
        guard = Guard(element)
        while True:
            found, data, links = read(guard(node), started)
            if not links["left"]:
                return found, data, links
            node = links["left"]

    if not tree["root"]:
        return
    found, data, links = leftmost(tree["root"], False)
    guard = Guard(element)
    while True:
        guard(found)
        if check is not None and check(found, data):
            return
        yield found
        if links["right"]:
            found, data, links = leftmost(links["right"], True)
            continue
        climbed = Guard(element)
        while True:
            parent, was_right = _parent(links, form.packed)
            if not parent:
                return
            found, data, links = read(climbed(parent), True)
            if not was_right:
                break


def _parent(links: Mapping[str, Any], packed: bool) -> tuple[int, bool]:
    """The node's parent (0: it is the root), and whether it is the right child."""
    if packed:
        word = links["pcb"]
        return word & AVL_PARENT_MASK, bool(word >> AVL_INDEX_SHIFT & 1)
    return links["parent"], bool(links["index"])


def _int(number: int) -> int:
    """A number as C's ``%d`` shows it: 32 bits, signed."""
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number


def chain(
    kernel: Solaris,
    start: int,
    layout: Layout,
    member: str,
    failure: Callable[[int], str],
    end: int = 0,
    most: int = MOST,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Structures that a member links: (address, members) of each until the link is ``end``, or leads back to the first.

    ``failure``: the message for an element that cannot be read. Raises `StoppedError`.
    """
    at, guard, read = start, Guard("element", most), kernel.memory.read
    while at != end:
        try:
            found = layout.read(read, at)
        except ReadError as error:
            raise StoppedError(failure(at), True, at, error.reason) from None
        guard(at)
        yield at, found
        at = found[member]
        if at == start:
            return


def follow(
    first: int, load: Callable[[int], dict[str, Any]], member: str, note: Callable[[str], None] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Elements along a pointer, until it is null or leads back: (address, members). Raises `StoppedError`.

    ``note`` is told of a circle that does not close at ``first``.
    """
    address, seen = first, set[int]()
    while address and address not in seen and len(seen) < MOST_FOLLOWED:
        seen.add(address)
        try:
            found = load(address)
        except ReadError as error:
            raise unreadable(address, error) from error
        yield address, found
        address = found[member]
    if note is not None and address not in (0, first):
        note(f"list at {first:x}: it leads back to {address:x}; the walk ends there")
