"""A little typed memory to run dcmds on: what lies where is planned here."""

from __future__ import annotations

import struct

from kdbg.errors import ReadError, SymbolNotFound, TypeNotFound
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from kdbg.symbols.ctf import CtfContainer
from kdbg.symbols.model import Type
from kdbg.symbols.table import STT_FUNC, STT_OBJECT, Symbol
from kdbg.target import Space, Target
from samples.ctf import CtfWriter

BASE = 0x1000
SIZE = 0x200


def planned_types() -> CtfWriter:
    """The types of the program."""
    c = CtfWriter()
    int_ = c.integer("int", 32, signed=True)
    char = c.integer("char", 8, signed=True, char=True)
    byte = c.integer("unsigned char", 8, char=True)
    short = c.integer("short", 16, signed=True)
    unsigned = c.integer("unsigned int", 32)
    c.integer("long", 64, signed=True)
    c.integer("void", 0, signed=True)
    float_ = c.float("double", 64, 2)
    time = c.typedef("time_t", c.integer("long", 64, signed=True, root=False))
    ipaddr = c.typedef("ipaddr_t", unsigned)
    text = c.pointer(char)
    caddr = c.typedef("caddr_t", text)
    node = c.structure("node")
    next_ = c.pointer(node)
    c.define(node, [("next", next_), ("value", int_), ("tag", c.array(char, 8))])
    c.typedef("node_t", node)
    point = c.typedef("point_t", c.structure("point", [("x", int_), ("y", int_)]))
    color = c.enumeration("color", [("COLOR_RED", 0), ("COLOR_BLUE", 10), ("COLOR_NONE", -1)])
    flags = c.enumeration("flags", [("FL_A", 1), ("FL_B", 2), ("FL_C", 4)])
    inner = c.union("", [("whole", unsigned), ("parts", c.array(byte, 4))])
    function = c.pointer(c.function_type(int_, [int_]))
    mixed = c.structure(
        "mixed",
        [("letter", char), ("number", int_), ("low", unsigned, 3), ("high", int_, 5), ("ratio", float_),
         ("when", time), ("host", ipaddr), ("hue", color), ("mode", flags), ("name", text), ("raw", caddr),
         ("act", function), ("grid", c.array(c.array(short, 2), 2)), ("spots", c.array(point, 2)), ("", inner)],
    )  # fmt: skip
    c.typedef("mixed_t", mixed)
    c.structure("in_addr", [("s_addr", unsigned)])
    c.forward("opaque")
    c.pointer(c.forward("hidden"))
    return c


class Program(Target):
    """A target of 512 bytes at 0x1000."""

    kind = "object"

    def __init__(self) -> None:
        super().__init__("program")
        self.planned = planned_types()
        self.types = CtfContainer(self.planned.bytes())
        self.memory = bytearray(SIZE)
        self.symbols: list[tuple[Symbol, str]] = []

    def put(self, address: int, data: bytes) -> int:
        """Write bytes; the address behind them."""
        self.memory[address - BASE : address - BASE + len(data)] = data
        return address + len(data)

    def label(self, name: str, address: int, size: int, type_: str = "") -> None:
        """Give an address a name; a function where no type is told."""
        kind = STT_OBJECT if type_ else STT_FUNC
        self.symbols.append((Symbol(name, address, size, "program", kind, index=len(self.symbols) + 1), type_))

    def read(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Exactly so many bytes. Raises `ReadError`."""
        if address < BASE or address + size > BASE + SIZE:
            raise ReadError(address)
        return bytes(self.memory[address - BASE : address - BASE + size])

    def lookup(self, name: str, module: str | None = None) -> Symbol:
        """The symbol of that name. Raises `SymbolNotFound`."""
        for symbol, _ in self.symbols:
            if symbol.name == name:
                return symbol
        raise SymbolNotFound(name)

    def nearest(self, address: int, distance: int | None = None) -> tuple[Symbol, int]:
        """The symbol that covers the address. Raises `SymbolNotFound`."""
        for symbol, _ in self.symbols:
            if 0 <= address - symbol.address < symbol.size:
                return symbol, address - symbol.address
        raise SymbolNotFound(f"{address:x}", "no symbol corresponds to address")

    def type(self, name: str) -> Type:
        """The type of that name. Raises `TypeNotFound`."""
        return self.types.lookup(name)

    def type_of(self, symbol: Symbol) -> Type:
        """The type of a symbol. Raises `TypeNotFound`."""
        for one, type_ in self.symbols:
            if one is symbol and type_:
                return self.types.lookup(type_)
        raise TypeNotFound(symbol.name, "Symbol table entry is not a data object")

    def type_containers(self):
        """The one container."""
        return iter((self.types,))


def program() -> Program:
    """A list of three nodes (one, two, three) at 1000, 1020, 1040, and a mixed structure at 1080."""
    p = Program()
    for address, following, value, tag in (
        (0x1000, 0x1020, 1, b"one"),
        (0x1020, 0x1040, 2, b"two"),
        (0x1040, 0, 3, b"\1x"),
    ):
        p.put(address, struct.pack("<Qi8s", following, value, tag))
    at = p.put(0x1080, struct.pack("<cxxxiBxxxxxxxd", b"A", -2, 5 | 0b10001 << 3, 1.5))
    at = p.put(at, struct.pack("<qIiIxxxx", 1000000000, 0x0100007F, 10, 3 | 0x100))
    at = p.put(at, struct.pack("<QQQ", 0x1180, 0x1180, 0x1010))
    at = p.put(at, struct.pack("<4h", 1, -1, 0, 7))
    p.put(at, struct.pack("<4iI", 1, 2, 3, 4, 0xDDCCBBAA))
    p.put(0x1180, b"hello\0")
    p.label("first", 0x1000, 24, "node_t")
    p.label("main", 0x1018, 8)
    p.label("head", 0x1078, 8, "struct node *")
    p.put(0x1078, struct.pack("<Q", 0x1000))
    return p


def run(text: str, target: Target | None = None) -> str:
    """What the language answers, messages and output in the order in which they come."""
    sink = ListSink()
    session = Session(target if target is not None else program(), sink, sink)
    session.execute(text)
    return sink.text()
