"""The rules that hold the house together (docs/architecture.md), read from the sources: who knows whom, and sizes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kdbg
from kdbg.dcmds import LANGUAGE

HOME = Path(kdbg.__file__).parent
ROOT = HOME.parent

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "records", "sorting", "diskcache"),
    ("formats",),
    ("vm",),
    ("symbols",),
    ("target", "disasm"),
    ("kernels",),
    ("dump", "rootsearch", "processcore", "objectfile", "rawfile", "nothing"),
    ("dcmds",),
    ("lang",),
    ("convert", "slim", "triage"),
    ("fleet",),
    ("repl",),
    ("cli", "pytest_plugin"),
)
"""From the ground up. A module may import from its own floor and from those below it."""

WORDS = {f"kdbg.lang.{name}" for name in ("errors", "numbers", "formats_numbers", "variables", "log", "output")}
"""Modules of the language that know nothing above `kdbg.errors`: numbers and how things end. Any floor from `target` up
may use them."""

UPWARD = {
    ("kdbg.dump", "kdbg.lang.session"),  # Dump.run: the language over the dump, for Python
    ("kdbg.processcore", "kdbg.lang.session"),  # the same over the core of a process
    ("kdbg.dump", "kdbg.triage"),  # Dump.triage: the same for a verdict
    ("kdbg.processcore", "kdbg.triage"),
    ("kdbg.disasm", "kdbg.lang.formats_numbers"),
}
"""(module, what it imports when it is called) of the only ways up."""

KERNELS = {"solaris", "linux", "xen", "process"}


def modules() -> list[Path]:
    return sorted(HOME.rglob("*.py"))


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


NAMES = {name_of(path) for path in modules()}


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``: what is for the type checker alone knows no floors."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from nodes(child)


def imports(path: Path) -> set[str]:
    """The modules of kdbg that a module imports, at its top or later."""
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            if whole != {"kdbg.__version__"}:
                found.update(whole & NAMES or {str(node.module)})
    return {name for name in found if name in NAMES}


def floor(module: str) -> int | None:
    """Number of a module's floor; None for the package itself, which is the door."""
    parts = module.split(".")
    if len(parts) == 1:
        return None
    return next(number for number, names in enumerate(FLOORS) if parts[1] in names)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_floor_knows_only_those_below_it(path: Path) -> None:
    module = name_of(path)
    here = floor(module)
    if here is None:
        return
    for other in imports(path):
        there = floor(other)
        if other in WORDS and here > 3:
            continue
        if module.startswith("kdbg.dcmds.") and other.startswith("kdbg.lang."):
            assert module in LANGUAGE, f"{module} is no part of the language, and imports {other}"
            continue
        allowed = (module, other) in UPWARD or (here > 8 if there is None else there <= here)
        assert allowed, f"{module} imports {other}, which stands above it"


@pytest.mark.parametrize("word", sorted(WORDS))
def test_the_languages_words_know_nothing_above_errors(word: str) -> None:
    known = imports(HOME / "lang" / f"{word.rpartition('.')[2]}.py")
    assert known <= WORDS | {"kdbg.errors"}


def test_the_language_knows_of_dcmds_how_they_are_declared_and_found() -> None:
    for path in (HOME / "lang").glob("*.py"):
        if path.stem == "explain":  # says in Python what ::head does
            continue
        known = {name for name in imports(path) if name.startswith("kdbg.dcmds")}
        assert known <= {"kdbg.dcmds", "kdbg.dcmds.registry"}, path


@pytest.mark.parametrize("floor_name", ["kernels", "dcmds"])
def test_kernels_do_not_know_each_other(floor_name: str) -> None:
    for path in (HOME / floor_name).rglob("*.py"):
        own = path.relative_to(HOME / floor_name).parts[0]
        for other in imports(path):
            parts = other.split(".")
            if parts[1] in ("kernels", "dcmds") and len(parts) > 2 and parts[2] in KERNELS - {"xen"}:
                assert own == parts[2], f"{name_of(path)} imports {other}"


def test_modules_are_small() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in modules()}
    assert {name: size for name, size in sizes.items() if size > 600} == {}
    larger = [name for name, size in sizes.items() if size > 400]
    assert len(larger) < len(sizes) / 20, larger


def test_every_module_says_what_it_is_and_defers_annotations() -> None:
    for path in modules():
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        if any(not isinstance(node, ast.Expr) for node in tree.body):
            assert "from __future__ import annotations" in path.read_text(), path


def test_the_architecture_names_every_package_and_nothing_that_is_gone() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for path in HOME.rglob("__init__.py"):
        assert f"{path.parent.name}/" in text or path.parent.parent.name in ("kernels", "dcmds", "triage"), path
    for path in HOME.glob("[a-z]*.py"):
        assert f"kdbg/{path.name}" in text, path
    files = {path.relative_to(ROOT).as_posix() for path in modules()}
    files |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert any(f"/{file}".endswith(f"/{name}") for file in files), f"{name} is not there"
