"""The kernel's modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.dcmds.registry import (
    NONE,
    OPTIONAL,
    Call,
    Column,
    Table,
    Walk,
    dcmd,
    decimal,
    flag,
    hexadecimal,
    pointer,
    text,
)
from kdbg.errors import Error, ReadError
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MODULE = "krtld"

MEMBERS = {
    "next": "mod_next",
    "id": "mod_id",
    "module": "mod_mp",
    "file": "mod_filename",
    "name": "mod_modname",
    "busy": "mod_busy",
    "wanted": "mod_want",
    "primary": "mod_prim",
    "loaded": "mod_loaded",
    "installed": "mod_installed",
    "flags": "mod_loadflags",
    "references": "mod_ref",
    "linkage": "mod_linkage",
}
"""Our word -> member of struct modctl (<sys/modctl.h>)."""


def modctl_loader(kernel: Solaris) -> Callable[[int], dict[str, Any]]:
    """What reads the modctl at an address. The reader raises `ReadError`."""
    layout = kernel.part(_layout)
    return lambda address: layout.read(kernel.memory.read, address)


def _layout(kernel: Solaris) -> Layout:
    return Layout(kernel.type("struct modctl"), MEMBERS)


def _string(kernel: Solaris, address: int, otherwise: str) -> str:
    try:
        return kernel.string(address) if address else otherwise
    except ReadError:
        return otherwise


def _each(call: Call) -> Iterator[tuple[int, dict[str, Any]]]:
    """The modctls that a call is for, read."""
    from kdbg.dcmds.solaris.walkers import modules

    load = modctl_loader(call.kernel)
    addresses = [call.address] if call.explicit else modules(Walk(call.session, "modctl", None))
    for address in addresses:
        try:
            yield address, load(address)
        except ReadError as error:
            call.fail(f"failed to read modctl at {address:x}: {error.reason}")


@dataclass(frozen=True, slots=True)
class ModctlRow:
    """A module as the kernel controls it."""

    address: int
    module: int
    bits: str
    """Letters of what holds: busy, wanted, primary, loaded, installed."""
    flags: int
    references: int
    file: str


_MODCTL = Table(
    [
        pointer("MODCTL", "address"),
        pointer("MODULE", "module"),
        text("BITS", "bits", 6, left=False),
        Column("FLAGS", lambda record, _: f"0x{record.flags:02x}", 4),
        decimal("REF", "references", 3),
        text("FILE", "file", 0),
    ]
)


@dcmd(
    "modctl",
    "show how the kernel controls its modules",
    address=OPTIONAL,
    plain_usage=True,
    needs=("kernel",),
    module=MODULE,
    table=_MODCTL,
    example="::modctl",
    help=(
        "Shows how the kernel keeps its modules: one a row, with state, references and file; or the one at the address."
    ),
    hint=False,
)
def modctl(call: Call) -> Iterator[ModctlRow | None]:
    """One modctl or all."""
    yield None
    letters = {"b": "busy", "w": "wanted", "p": "primary", "l": "loaded", "i": "installed"}
    for address, found in _each(call):
        yield ModctlRow(
            address=address,
            module=found["module"],
            bits="".join(letter for letter, name in letters.items() if found[name]),
            flags=found["flags"],
            references=found["references"],
            file=_string(call.kernel, found["file"], "???"),
        )


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """A module as loaded."""

    address: int
    """Of its modctl."""
    id: int
    base: int
    """Of its text."""
    size: int
    """Of text and data together."""
    revision: int
    name: str
    info: str | None


_MODINFO = Table(
    [
        decimal("ID", "id", 3),
        pointer("LOADADDR", "base"),
        hexadecimal("SIZE", "size", 8),
        decimal("REV", "revision", 3),
        Column("MODULE NAME", lambda record, _: f"{record.name} ({record.info or '?'})", 0, left=True),
    ]
)


@dcmd(
    "modinfo",
    "show what modules are loaded",
    address=OPTIONAL,
    plain_usage=True,
    needs=("kernel",),
    module=MODULE,
    table=_MODINFO,
    example="::modinfo",
    help="Shows the modules that are loaded: id, place and size, revision, and what each says of itself.",
    hint=False,
)
def modinfo(call: Call) -> Iterator[ModuleRow | None]:
    """One module or all."""
    yield None
    for address, found in _each(call):
        base, size = _text_and_data(call.kernel, found["module"])
        revision, info = _linkage(call.kernel, found["linkage"])
        name = _string(call.kernel, found["name"], "???")
        yield ModuleRow(address, found["id"], base, size, revision, name, info)


def _text_and_data(kernel: Solaris, module: int) -> tuple[int, int]:
    """(start of the text, size of text and data) of a struct module; 0 where it is not in memory."""
    try:
        found = kernel.load("struct module", module)
        return int(found.text), int(found.text_size) + int(found.data_size)
    except Error:
        return 0, 0


def _linkage(kernel: Solaris, linkage: int) -> tuple[int, str | None]:
    """(revision, description) that a module gives of itself."""
    if not linkage:
        return 0, None
    try:
        found = kernel.load("struct modlinkage", linkage)
        first = found.ml_linkage[0]
        info = kernel.load("struct modlmisc", int(first)).misc_linkinfo.string() if int(first) else ""
        return found.ml_rev, info or None
    except Error:
        return 0, None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """An object in the kernel's address space: a module's text."""

    base: int
    limit: int
    size: int
    name: str
    version: str


_OBJECTS = Table([pointer("BASE", "base"), pointer("LIMIT", "limit"), pointer("SIZE", "size"), text("NAME", "name", 0)])
_VERSIONS = Table([text("NAME", "name", 28), text("VERSION", "version", 0)])


@dcmd(
    "objects",
    "list the modules with the places of their text",
    address=NONE,
    synopsis="[-v]",
    needs=("kernel",),
    options=[flag("v", "names and versions")],
    table=lambda call: _VERSIONS if call.options.v else _OBJECTS,
    pipe=lambda record: record.base,
    module="mdb",
    example="::objects -v",
    help="Shows the modules with base and size of their text: what names before a backquote may be.",
    hint=False,
)
def objects(call: Call) -> Iterator[ObjectRow | None]:
    """All modules in the order of the kernel's list."""
    yield None
    version = call.kernel.uname.get("release", "")
    for module in call.kernel.modules():
        yield ObjectRow(module.base, module.base + module.size, module.size, module.name, version)
