"""The dcmds and walkers, found by name: the module that holds one is imported when it is first asked for.

Each table names a module and what it declares. A module's functions carry their descriptors (`kdbg.dcmds.registry`).
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kdbg.errors import CommandError

if TYPE_CHECKING:
    from kdbg.dcmds.registry import Dcmd, Walker
    from kdbg.lang.session import Session
    from kdbg.target import Target

Table = Mapping[str, tuple[str, ...]]
"""Module path -> names that it declares."""

UNKNOWN_DCMD = "unknown dcmd name"
UNKNOWN_WALKER = "unknown walk name"

LANGUAGE: Table = {
    "kdbg.dcmds.formats": ("/", "\\", "?", "@", "="),
    "kdbg.dcmds.language": ("echo", "map", "grep", "eval", "head", "walk"),
    "kdbg.dcmds.disassembly": ("dis", "dismode", "$V", "disasms"),
    "kdbg.dcmds.dump": ("dump",),
    "kdbg.dcmds.symbols": ("nm", "nmadd", "nmdel", "$e", "files", "$f"),
    "kdbg.dcmds.write": ("write",),
    "kdbg.dcmds.print": ("print",),
    "kdbg.dcmds.printf": ("printf",),
    "kdbg.dcmds.types": ("sizeof", "offsetof", "typelist", "typedef"),
    "kdbg.dcmds.enums": ("enum",),
    "kdbg.dcmds.lists": ("list", "array"),
    "kdbg.dcmds.session": (
        "quit",
        "$q",
        "$Q",
        "$%",
        "vars",
        "$v",
        ">",
        "typeset",
        "unset",
        "$d",
        "$s",
        "$w",
        "$P",
    ),
    "kdbg.dcmds.settings": ("set", "$W"),
    "kdbg.dcmds.macros": ("$<", "$<<", "$M"),
    "kdbg.dcmds.files": ("cat", "log", "$>"),
    "kdbg.dcmds.help": (
        "help",
        "dcmds",
        "walkers",
        "dmods",
        "which",
        "whence",
        "formats",
        "version",
        "load",
        "unload",
    ),
    "kdbg.dcmds.adb": ("$a", "obey", "$D", "dem", "term", "showrev", "xdata", "linkerset"),
    "kdbg.dcmds.running": (
        "bp",
        "wp",
        "sigbp",
        ":t",
        "sysbp",
        "fltbp",
        ":b",
        ":a",
        ":p",
        ":w",
        "evset",
        "events",
        "$b",
        "delete",
        ":d",
        ":z",
        "run",
        ":r",
        "cont",
        ":c",
        "step",
        ":s",
        ":S",
        "next",
        ":e",
        ":u",
    ),
}
"""Dcmds of the language itself, for every target."""

DUMP: Table = {
    "kdbg.dcmds.pagetables": ("vatopfn", "vtop", "pfntomfn", "mfntopfn", "pte"),
    "kdbg.dcmds.pagescan": ("ptwalk", "ptescan"),
    "kdbg.dcmds.triage": ("triage",),
}
"""Dcmds for every crash dump: page tables, contents of the file."""

MACHINE: Table = {
    "kdbg.dcmds.machine": ("status", "cpuregs", "cpustack", "regs", "$r", "$?", "stack", "$c", "stackregs", "$C"),
}
"""Dcmds for dumps with no kernel that kdbg knows."""

FILES: Table = {
    "kdbg.dcmds.targets": ("status", "$?", "mappings", "$m", "objects", "whatis", "regs", "$r", "fpregs", "$x", "vtop"),
    "kdbg.dcmds.unsupported": (
        "stack",
        "$c",
        "$C",
        "stackregs",
        "$l",
        "$i",
        "$y",
        "$X",
        "$Y",
        ":A",
        ":i",
        ":k",
        ":R",
        "attach",
        "kill",
        "release",
        "context",
        "$p",
    ),
}
"""Dcmds for what is no dump; for dumps, too, where nothing else has the name."""

KERNELS = ("solaris", "linux")
"""Kernels with a package ``kdbg.dcmds.<kernel>``, which has tables ``DCMDS`` and ``WALKERS``."""


def _kernel_package(target: Target) -> ModuleType | None:
    kernel = target.kernel
    family = getattr(kernel, "family", None) if kernel is not None else None
    return importlib.import_module(f"kdbg.dcmds.{family}") if family in KERNELS else None


def tables(target: Target, attribute: str) -> Iterator[Table]:
    """The tables that hold for a target; ``attribute``: DCMDS or WALKERS. A kernel's come before those of any dump."""
    if attribute == "DCMDS":
        yield LANGUAGE
    if target.kind == "process":
        yield getattr(importlib.import_module("kdbg.dcmds.process"), attribute)
    if target.kind == "dump":
        package = _kernel_package(target)
        if package is not None:
            table: Table = getattr(package, attribute, {})
            absent: frozenset[str] = package.absent(target) if hasattr(package, "absent") else frozenset()
            if absent:
                table = {path: tuple(name for name in names if name not in absent) for path, names in table.items()}
            yield _essential(table) if target.without_commands else table
        elif attribute == "DCMDS":
            yield MACHINE
        if attribute == "DCMDS":
            yield DUMP
    if attribute == "DCMDS":
        yield FILES


ESSENTIAL = frozenset({"status", "regs", "$r", "$?", "stack", "$c", "$C", "stackregs", "cpuregs", "cpustack"})
"""Dcmds of a kernel that are there even where its commands are to be left out: mdb's targets bring them themselves."""


def _essential(table: Table) -> Table:
    kept = {path: tuple(name for name in names if name in ESSENTIAL) for path, names in table.items()}
    return {path: names for path, names in kept.items() if names}


def declared(module: ModuleType, attribute: str) -> Iterator[Any]:
    """The descriptors that a module's functions carry; ``attribute``: dcmds or walkers."""
    for value in vars(module).values():
        yield from getattr(value, "__dict__", {}).get(attribute, ()) if callable(value) else ()
    yield from getattr(module, attribute.upper(), ())


def _find(name: str, target: Target, attribute: str) -> Any:
    for table in tables(target, attribute.upper()):
        for path, names in table.items():
            if name in names:
                for found in declared(importlib.import_module(path), attribute):
                    if found.name == name:
                        return found
    return None


def find_dcmd(name: str, target: Target) -> Dcmd:
    """The dcmd of that name for that target. Raises `CommandError` with the language's reason."""
    found: Dcmd | None = _find(name, target, "dcmds") or _of_plugins("dcmds").get(name)
    if found is None:
        raise _unknown(_for_another_kernel(name, target, "DCMDS") or UNKNOWN_DCMD)
    return found


def _for_another_kernel(name: str, target: Target, attribute: str) -> str | None:
    """What is wrong with a name that belongs to another kernel than the dump's; None where mdb has its own reason."""
    if target.kind != "dump" or getattr(target.kernel, "family", "") == "solaris":
        return None
    here = target.kernel.describe() if target.kernel is not None else "no kernel that kdbg knows"
    own = getattr(target.kernel, "family", "")  # has it, but not in this dump
    others = [kernel for kernel in KERNELS if kernel != own]
    having = [kernel.capitalize() for kernel in others if _names(kernel, attribute, name)]
    return f"it is for {' and '.join(having)} kernels, and the dump holds {here}" if having else None


def _names(kernel: str, attribute: str, name: str) -> bool:
    """Whether the dcmds or walkers of a kernel have one of that name."""
    table: Mapping[str, tuple[str, ...]] = getattr(importlib.import_module(f"kdbg.dcmds.{kernel}"), attribute, {})
    return any(name in names for names in table.values())


def find_walker(name: str, target: Target) -> Walker:
    """The walker of that name for that target. Raises `CommandError` with the language's reason."""
    found: Walker | None = _find(name, target, "walkers")
    if found is None and target.kind == "dump" and not target.without_commands:
        dynamic = getattr(_kernel_package(target), "find_walker", None)
        found = dynamic(name, target) if dynamic is not None else None
    found = found or _of_plugins("walkers").get(name)
    if found is None:
        raise _unknown(_for_another_kernel(name, target, "WALKERS") or UNKNOWN_WALKER)
    return found


def _unknown(reason: str) -> CommandError:
    error = CommandError(reason)
    error.reason = reason
    return error


@functools.cache
def _of_plugins(attribute: str) -> dict[str, Any]:
    """What other packages declare by the entry point ``kdbg.dcmds``; a package that cannot be loaded is passed over."""
    from importlib.metadata import entry_points

    found: dict[str, Any] = {}
    for entry in entry_points(group="kdbg.dcmds"):
        try:
            module = entry.load()
        except Exception:
            continue
        for one in declared(module, attribute):
            found.setdefault(one.name, one if one.module else replace(one, module=entry.name))
    return found


def found_names(session: Session, attribute: str) -> set[str]:
    """All names that hold for a session's target; ``attribute``: DCMDS or WALKERS."""
    target = session.target
    names = {name for table in tables(target, attribute) for group in table.values() for name in group}
    names.update(_of_plugins(attribute.lower()))
    names.update(session.loaded if attribute == "DCMDS" else session.loaded_walkers)
    if attribute == "WALKERS" and target.kind == "dump" and (package := _kernel_package(target)) is not None:
        others = getattr(package, "all_walkers", None)
        names.update(one.name for one in others(target)) if others is not None else None
    return names


def group_of(found: Dcmd | Walker) -> str:
    """The group that a dcmd or walker belongs to: as declared, else the package it comes from."""
    if found.module:
        return "kdbg" if found.module == "mdb" else found.module
    _, _, path = found.run.__module__.partition("kdbg.dcmds.")
    package, dot, _ = path.partition(".")
    return package if dot else "kdbg"


def load_file(name: str) -> ModuleType | None:
    """Run a Python file as a module of its own; None where there is no such file. Raises `CommandError`."""
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    path = Path(name)
    if path.suffix != ".py" or not path.is_file():
        return None
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    # Dataclasses look their module up by name while it runs; no import is to find it afterwards.
    hidden = sys.modules.get(path.stem)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CommandError(f"{name}: {type(error).__name__}: {error}") from None
    finally:
        if hidden is None:
            del sys.modules[path.stem]
        else:
            sys.modules[path.stem] = hidden
    return module
