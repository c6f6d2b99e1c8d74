"""Memory as typed values are read from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from kdbg.errors import ReadError
from kdbg.lang.formats_numbers import MASK

BLOCK = 1 << 16
"""Bytes of a structure or array that are read at once, at most."""


class Memory:
    """Where values come from: a function that reads, and the block that was read last."""

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        order: Literal["little", "big"] = "little",
        pointer: int = 8,
        text: Callable[[int, int], bytes] | None = None,
        hollow: bool = True,
    ) -> None:
        self.source = read
        self.order = order
        self.pointer = pointer
        """Bytes of a pointer."""
        self.text = text or self.some
        """Reads what a pointer to characters points to: as much as there is, up to so many bytes."""
        self.hollow = hollow
        """Whether no bytes at all can be read anywhere; where not, that fails."""
        self._start = 0
        self._block = b""

    def prepare(self, address: int, size: int) -> None:
        """Read a whole structure at once, if that can be done; its members are then at hand."""
        self._block = b""
        if 0 < size <= BLOCK:
            with suppress(ReadError):
                self._block, self._start = self.source(address & MASK, size), address

    def forget(self) -> None:
        """Let the block go: what is read next is another thing."""
        self._block = b""

    def read(self, address: int, size: int) -> bytes:
        """Exactly so many bytes. Raises `ReadError`."""
        at = address - self._start
        if at >= 0 and size and at + size <= len(self._block):
            return self._block[at : at + size]
        if not size and not self.hollow:
            raise ReadError(address & MASK)
        return self.source(address & MASK, size)

    def number(self, address: int, size: int) -> int:
        """An unsigned number. Raises `ReadError`."""
        return int.from_bytes(self.read(address, size), self.order)

    def source_number(self, address: int, size: int) -> int:
        """An unsigned number from the source, past the block. Raises `ReadError`."""
        return int.from_bytes(self.source(address & MASK, size), self.order)

    def some(self, address: int, size: int) -> bytes:
        """Bytes up to a zero, the end of what can be read, or ``size``. Raises `ReadError` if there are none."""
        try:
            return self.read(address, size).split(b"\0", 1)[0]
        except ReadError:
            found = bytearray()
            while len(found) < size:
                try:
                    byte = self.read(address + len(found), 1)
                except ReadError:
                    if not found:
                        raise
                    break
                if byte == b"\0":
                    break
                found += byte
            return bytes(found)
