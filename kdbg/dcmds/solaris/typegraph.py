"""::typegraph, ::whattype, ::istype, ::notype: what type allocated memory has, as far as pointers tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import OPTIONAL, REQUIRED, REQUIRED_AFTER_OPTIONS, Call, dcmd, flag
from kdbg.errors import CommandError, TypeNotFound, UsageError
from kdbg.kernels.solaris.typegraph import Guess, Node, TypeGraph
from kdbg.lang.errors import Abort
from kdbg.records import Text
from kdbg.symbols.model import Kind

NOT_BUILT = "type graph not yet built; run ::typegraph."


@dataclass(frozen=True, slots=True)
class Inferred:
    """Answer of ::whattype."""

    address: int
    base: int
    type: str | None
    """None: unknown."""
    certain: bool
    lines: tuple[str, ...]


def _graph(call: Call) -> TypeGraph:
    """Return the graph. Raises `Abort` where it is not built."""
    graph: TypeGraph = call.kernel.part(TypeGraph)
    if not graph.built:
        raise Abort(NOT_BUILT)
    return graph


@dcmd(
    "typegraph",
    "infer the types of allocated memory",
    address=OPTIONAL,
    plain_usage=True,
    options=(flag("v", "say more"),),
    needs=("kernel",),
    text=lambda record, view: str(record.text),
    hint=False,
    help="Takes all allocated buffers whose types are known (threads, modules, some caches), and follows the pointers\n"
    "of those types to others. ::whattype then tells what was found.",
    example="::typegraph",
    module="genunix",
)
def typegraph(call: Call) -> Iterator[Text]:
    """Build the graph of types."""
    graph: TypeGraph = call.kernel.part(TypeGraph)
    if graph.built:
        graph.infer()
        return
    said: list[Text] = []
    failure = None
    try:
        graph.build(lambda name, value: said.append(Text(f"typegraph: {name:>30} => {value}")), call.warn)
    except TypeNotFound as error:
        failure = error.reason
    yield from said
    if failure is not None:
        raise CommandError(failure)


@dcmd(
    "whattype",
    "tell what type the memory at an address has",
    address=REQUIRED_AFTER_OPTIONS,
    options=(flag("v", "say more"),),
    needs=("kernel",),
    text=lambda record, view: "\n".join(record.lines),
    hint=False,
    help="What ::typegraph has found out of the buffer that the address lies in: its type, or what it may be.",
    example="ffffff01c801f680::whattype",
    module="genunix",
)
def whattype(call: Call) -> Iterator[Inferred]:
    """Tell what type the memory at an address has."""
    graph = _graph(call)
    node = graph.node(call.address)
    if node is None:
        call.warn(f"{call.address:x} does not correspond to a node.")
        return
    yield _answer(call.address, node)


def _answer(address: int, node: Node) -> Inferred:
    head = f"{address:x} is {node.base:x}+{address - node.base:x}, "
    if node.known is not None:
        return Inferred(address, node.base, node.known.spelling, True, (head + node.known.spelling,))
    guesses = node.guesses or node.fragments
    if not guesses:
        return Inferred(address, node.base, None, False, (f"{head}unknown type",))
    if len(guesses) == 1:
        return Inferred(address, node.base, _name(guesses[0]), False, (head + _possibly(node, guesses[0]),))
    lines = [f"{head}possibly one of the following:"]
    for guess in guesses:
        at = f"at {node.base + guess.offset:x} " if guess.offset else ""
        origin = f"{guess.source:x}+{guess.source_offset:x}, type {guess.source_type.spelling}"
        lines.append(f"  {_name(guess)} {at}(from {origin})")
    return Inferred(address, node.base, None, False, (*lines, ""))


def _name(guess: Guess) -> str:
    return guess.declared.spelling if guess.type.spelling in ("struct ", "union ") else guess.type.spelling


def _possibly(node: Node, guess: Guess) -> str:
    member = ""
    if guess.type.kind not in (Kind.STRUCT, Kind.UNION):
        member = f"({guess.source_type.spelling}.{guess.member}) "
    at = f"at {node.base + guess.offset:x}" if guess.offset else ""
    return f"possibly {_name(guess)} {member}{at}"


@dcmd(
    "istype",
    "say what type the memory at an address has",
    address=REQUIRED,
    synopsis="type",
    words=None,
    needs=("kernel",),
    hint=False,
    help="Tells ::whattype a type, from which others may follow.",
    example="ffffff01c801f680::istype kthread_t",
    module="genunix",
)
def istype(call: Call) -> None:
    """Say what type the memory at an address has."""
    if len(call.words) != 1 or not isinstance(call.words[0], str):
        raise UsageError("")
    graph, node = _node(call)
    try:
        node.known = call.target.type(call.words[0])
    except TypeNotFound as error:
        raise CommandError(f"could not find type {call.words[0]}: {error.reason}") from None
    graph.infer()


@dcmd(
    "notype",
    "take back what was said of the memory at an address",
    address=REQUIRED,
    needs=("kernel",),
    hint=False,
    help="Undoes ::istype.",
    example="ffffff01c801f680::notype",
    module="genunix",
)
def notype(call: Call) -> None:
    """Take back what was said of the memory at an address."""
    graph, node = _node(call)
    node.known = None
    graph.infer()


def _node(call: Call) -> tuple[TypeGraph, Node]:
    graph = _graph(call)
    node = graph.node(call.address)
    if node is None:
        raise CommandError(f"{call.address:x} not found")
    return graph, node
