"""Walks along the lists of a Linux kernel, bounded; where one breaks, the target is told at which element.

Source: include/linux/list.h (struct list_head: next, prev; a list ends where it leads back to its head).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import ReadError

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.model import Type

MOST = 4_000_000
"""Elements after which a list is taken for damaged."""


def offset_of(of: Type, path: str) -> int:
    """Offset in bytes of the member at a path ``a.b``. Raises `TypeNotFound`."""
    offset, here = 0, of
    for part in path.split("."):
        member = here.member(part)
        offset, here = offset + member.offset, member.type
    return offset


def elements(kernel: Linux, head: int, type_name: str, member: str, what: str) -> Iterator[int]:
    """Addresses of the structures that hang on the list_head at ``head`` by a member. Raises `TypeNotFound`."""
    offset = offset_of(kernel.type(type_name), member)
    return (node - offset for node in nodes(kernel, head, what))


def nodes(kernel: Linux, head: int, what: str) -> Iterator[int]:
    """Addresses of the list_heads behind a head. A list that breaks or goes in a circle ends with a note."""
    note = kernel.target.note
    seen, at = {head}, head
    while True:
        try:
            following = kernel.word(at)
        except ReadError as error:
            note(f"{what}: the list ends at {at:x}: {error.reason}")
            return
        if following == head:
            return
        if following in seen:
            note(f"{what}: the list leads from {at:x} back to {following:x}; the walk ends there")
            return
        if len(seen) > MOST:
            note(f"{what}: more than {MOST} elements: the list is taken for damaged")
            return
        if not kernel.in_kernel(following):
            note(f"{what}: the list leads from {at:x} to {following:x}, which is no address of the kernel's")
            return
        seen.add(following)
        yield following
        at = following
