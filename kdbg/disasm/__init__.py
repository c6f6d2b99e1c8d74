"""Machine code to text, for any target: one instruction at an address, and where the instructions before it begin.

Modes have mdb's names: ``amd64``, ``ia32``, ``ia16``, and ``default``, which decodes nothing (files of bytes, where
nobody knows what is in them). One of ours is ``arm64``, for dumps of such machines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import ReadError, SymbolNotFound

if TYPE_CHECKING:
    from kdbg.lang.session import Session
    from kdbg.target import Target

Reader = Callable[[int, int], bytes]
"""(address, size) -> bytes, as many as there are. Raises `ReadError` where not one is."""

CHUNK = 64
UNKNOWN = "***ERROR--unknown op code***"

MODES = {
    "amd64": "AMD64 and IA32e 64-bit disassembler",
    "default": "default no-op disassembler",
    "ia16": "Intel 16-bit disassembler",
    "ia32": "Intel 32-bit disassembler",
}
ARM = "arm64"
_BITS = {"amd64": 64, "ia32": 32, "ia16": 16, ARM: 64}


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction."""

    address: int
    text: str
    end: int
    """Address of the next one."""


def default_mode(target: Target) -> str:
    """The mode that fits a target."""
    if target.kind == "raw":
        return "default"
    if target.kind in ("dump", "process") and target.info.architecture in ("arm64", "aarch64"):  # type: ignore[attr-defined]
        return ARM
    return "amd64" if target.bits == 64 else "ia32"


def mode_of(session: Session) -> str:
    """The mode of a session: the one that was chosen, or the target's."""
    if not session.disassembler:
        session.disassembler = default_mode(session.target)
    return session.disassembler


class _Names:
    """Names of addresses, as the session shows them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.label = session.label

    def extent(self, address: int) -> tuple[int, int] | None:
        """Start and size of the symbol that covers an address."""
        try:
            symbol, _ = self._session.target.nearest(address, self._session.distance)
        except SymbolNotFound:
            return None
        return symbol.address, symbol.size


class Code:
    """Bytes of code, read in pieces."""

    def __init__(self, read: Reader, padded: bool) -> None:
        self._read = read
        self._padded = padded
        """Whether a piece that is cut short counts as zeros: so it is where a file of bytes or an ELF file ends."""
        self._start = 0
        self._data = b""

    def byte(self, address: int) -> int:
        """The byte at an address. Raises `ReadError`."""
        at = address - self._start
        if not 0 <= at < len(self._data):
            self._data = self._read(address, CHUNK)
            self._start, at = address, 0
            if self._padded:
                self._data = self._data.ljust(CHUNK, b"\0")
            if not self._data:
                raise ReadError(address)
        return self._data[at]


def _decode(session: Session, code: Code, address: int, mode: str) -> tuple[str | None, int]:
    """Text (None where it is no instruction) and length. Raises `ReadError`."""
    if mode == ARM:
        from kdbg.disasm.arm import decode_arm

        return decode_arm(lambda at: code.byte(address + at), address, session.label)
    from kdbg.disasm.operands import Invalid
    from kdbg.disasm.x86 import Decoder

    decoder = Decoder(lambda at: code.byte(address + at), address, _BITS[mode], _Names(session))
    try:
        return decoder.decode(), decoder.length
    except Invalid:
        return None, decoder.length


def _code(session: Session, read: Reader) -> Code:
    return Code(read, session.target.kind in ("raw", "object", "none"))


def disassemble(session: Session, read: Reader, address: int) -> Instruction | None:
    """The instruction at an address; None where it cannot be read (said already) or the mode decodes nothing."""
    mode = mode_of(session)
    if mode not in _BITS:
        return None
    try:
        text, length = _decode(session, _code(session, read), address, mode)
    except ReadError as error:
        from kdbg.lang.formats_numbers import prefixed

        where = prefixed(error.address, session.radix)
        session.warn(f"failed to read instruction at {where}: {error.reason}")
        return None
    return Instruction(address, UNKNOWN if text is None else text, address + length)


def previous(session: Session, read: Reader, address: int, count: int) -> int:
    """Where the ``count``-th instruction before an address begins; fewer, or the address itself, where that is unknown.

    Instructions are counted from the start of the function that covers the address.
    """
    mode = mode_of(session)
    extent = _Names(session).extent(address)
    if mode not in _BITS or count <= 0 or extent is None or extent[0] >= address:
        return address
    seen = []
    at, code = extent[0], _code(session, read)
    while at < address:
        seen.append(at)
        try:
            text, length = _decode(session, code, at, mode)
        except ReadError:
            return address
        if text is None:
            return address
        at += length
    return seen[-min(count, len(seen))] if at == address else address
