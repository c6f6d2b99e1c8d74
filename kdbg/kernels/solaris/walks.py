"""Walks along pointers: rings and chains, bounded, with the place told where one breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kdbg.errors import ReadError

MOST_ELEMENTS = 4_000_000
"""Steps after which a walk ends: more elements than any kernel's memory holds."""


class BrokenListError(ReadError):
    """A walk that came to an element which cannot be read; ``address`` is the element's."""

    def __init__(self, address: int, cause: ReadError) -> None:
        super().__init__(address, str(cause), cause.reason)
        self.cause = cause


def follow(
    first: int, load: Callable[[int], dict[str, Any]], member: str, note: Callable[[str], None] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Elements along a pointer, until it is null or leads back: (address, members). Raises `BrokenListError`.

    ``note`` is told of a circle that does not close at ``first``.
    """
    address, seen = first, set[int]()
    while address and address not in seen and len(seen) < MOST_ELEMENTS:
        seen.add(address)
        try:
            found = load(address)
        except ReadError as error:
            raise BrokenListError(address, error) from error
        yield address, found
        address = found[member]
    if note is not None and address not in (0, first):
        note(f"list at {first:x}: it leads back to {address:x}; the walk ends there")
