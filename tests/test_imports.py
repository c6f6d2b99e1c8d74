"""Start-up is a feature: what a batch ``::status`` may import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
import sys
from kdbg.cli import main
before = set(sys.modules)
status = main(["-e", {command!r}, *sys.argv[1:]])
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""

HEAVY = {"asyncio", "capstone", "elftools", "numpy", "prompt_toolkit", "pygments", "rich"}
"""What takes 30 to 120 ms each, and comes with the first question that needs it."""

OTHERS = {
    "csv",
    "ctypes",
    "email",
    "importlib.metadata",
    "json",
    "lzma",
    "shutil",
    "subprocess",
    "tempfile",
    "unittest",
}
"""Of the standard library: what only other ways through the program need."""

PACKAGES = {"dcmds", "formats", "kernels", "lang", "repl", "symbols", "vm"}


def modules_after(command: str, *files: Path) -> set[str]:
    """The modules that are loaded when the command has run."""
    program = PROGRAM.format(command=command)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, files)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    return set(done.stderr.splitlines()[-1].split())


@pytest.fixture(scope="module", params=["domu-sxc16.core", "domu-sxc16.elf", "hvm.elf", "domu32.core"])
def status(request: pytest.FixtureRequest, unpacked: Callable[[str], Path]) -> set[str]:
    """The modules that ``::status`` of a domain core loads."""
    return modules_after("::status", unpacked(request.param))


def test_status_loads_nothing_heavy(status: set[str]) -> None:
    assert status & HEAVY == set()


def test_status_loads_nothing_that_others_need(status: set[str]) -> None:
    assert status & OTHERS == set()


def test_status_loads_one_format_one_kernel_one_dcmd(status: set[str]) -> None:
    ours = {name for name in status if name.startswith("kdbg.")}
    assert {name.split(".")[1] for name in ours if name.count(".") > 1} == PACKAGES
    assert not ours & {"kdbg.disasm", "kdbg.vm.arrays", "kdbg.vm.scan", "kdbg.symbols.btf", "kdbg.symbols.elfsymbols"}
    assert not ours & {f"kdbg.formats.{name}" for name in ("kdump", "illumos", "lime", "illumos_pages")}
    assert [name for name in ours if name.startswith("kdbg.kernels.linux")] == []
    dcmds = {name for name in ours if name.startswith("kdbg.dcmds.")}
    assert dcmds == {"kdbg.dcmds.registry", "kdbg.dcmds.solaris", "kdbg.dcmds.solaris.status"}


def test_status_declares_no_records_of_other_commands(status: set[str]) -> None:
    assert "kdbg.records" not in status


def test_a_plain_file_loads_no_format_and_no_kernel(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"kdbg" * 100)
    loaded = modules_after("0/s", path)
    assert loaded & (HEAVY | OTHERS | {"construct"}) == set()
    assert [name for name in loaded if name.startswith(("kdbg.formats.", "kdbg.kernels.", "kdbg.vm."))] == []
