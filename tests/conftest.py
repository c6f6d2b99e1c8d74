"""Fixtures that all tests share: sample dumps, built domains, opened targets."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.dump import Dump
from samples import unpack
from samples.plan import Planned
from samples.solaris import Domain, SolarisDomain, standard

os.environ["KDBG_CACHE"] = "off"  # tests leave nothing in the home of whoever runs them


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of a sample dump by its name, unpacked once a session: ``unpacked("domu-sxc16.core")``."""
    folder = tmp_path_factory.mktemp("samples")
    return lambda name: unpack.unpack(name, folder)


@pytest.fixture(scope="session")
def sample(unpacked: Callable[[str], Path]) -> Iterator[Callable[[str], Dump]]:
    """A sample dump opened, once a session; not to be changed or closed."""
    targets: dict[str, Dump] = {}

    def opened(name: str) -> Dump:
        if name not in targets:
            targets[name] = kdbg.open(unpacked(name))
        return targets[name]

    yield opened
    for target in targets.values():
        target.close()


def facts_of(name: str) -> dict[str, Any]:
    """The facts that belong to a sample dump."""
    path = unpack.facts(name)
    opener: Any = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as stream:
        found: dict[str, Any] = json.load(stream)
    return found


@pytest.fixture(scope="session")
def facts() -> Callable[[str], dict[str, Any]]:
    """The facts that belong to a sample dump, by its name."""
    return facts_of


class OpenDomain:
    """A built domain, written and opened: the target's attributes, and the plan's as ``.planned``."""

    def __init__(self, domain: Domain, path: Path) -> None:
        self.built = domain
        self.planned: Planned = domain.planned
        self.path = path
        self.target = kdbg.open(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


@pytest.fixture
def open_domain(tmp_path: Path) -> Iterator[Callable[..., OpenDomain]]:
    """Write a planned or built domain and open it; options are those of `samples.solaris.Domain.write`."""
    opened: list[OpenDomain] = []

    def write_and_open(domain: SolarisDomain | Domain, **options: Any) -> OpenDomain:
        built = domain.build() if isinstance(domain, SolarisDomain) else domain
        options.setdefault("name", f"core-{len(opened)}")
        opened.append(OpenDomain(built, built.write(tmp_path, **options)))
        return opened[-1]

    yield write_and_open
    for one in opened:
        one.target.close()


@pytest.fixture(scope="session")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDomain]:
    """The standard 64-bit paravirtual domain, opened; not to be changed."""
    built = standard().build()
    opened = OpenDomain(built, built.write(tmp_path_factory.mktemp("domain"), format="elf"))
    yield opened
    opened.target.close()


@pytest.fixture
def domain_builder() -> type[SolarisDomain]:
    """What plans a domain: ``domain_builder(bits=32).thread(...)``."""
    return SolarisDomain


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material that KDBG_SHARED names; the test is skipped without it."""
    folder = os.environ.get("KDBG_SHARED")
    if not folder or not Path(folder).is_dir():
        pytest.skip("KDBG_SHARED does not name a folder")
    return Path(folder)


PACKED = {
    "xen-linux": "xen-linux*",
    "lx61-arm64": "lx61-arm64*",
    "lx61-i386": "lx61-i386*",
    "lx61-kdump": "lx61-kdump*",
    "lx61": "lx61-elf*",
}
"""Beginning of a large dump's name -> pattern of the packed file that holds it; the first that fits."""


@pytest.fixture(scope="session")
def shared_dump(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of a dump too large for samples/, by its name.

    It is taken from the folder that KDBG_DUMPS names, if it lies there, else unpacked out of the shared material.
    """
    folder = Path(os.environ["KDBG_DUMPS"]) if "KDBG_DUMPS" in os.environ else tmp_path_factory.mktemp("dumps")

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pattern = next(pattern for start, pattern in PACKED.items() if name.startswith(start))
            command = [sys.executable, str(shared / "tools" / "unpack.py"), str(folder), "--all", pattern]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return path

    return find
