"""Small real dumps out of samples/real: registers, translations, symbols and pages as others tell them."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.formats import open_image
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session

FOLDER = Path(__file__).parent.parent.parent / "samples" / "real"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())
KERNELS = ("lx61-panic.elf", "lx61-novmci.elf", "lx61-arm64.elf", "lx61-i386.elf")
KDUMP = [f"{place}()" for place in EXPECTED["lx61-kdump.elf"]["stack"]]
SLICES = ("lx61-slice.flat-zlib",)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of a real dump by its name, unpacked."""
    folder = tmp_path_factory.mktemp("real")

    def path(name: str) -> Path:
        found = folder / name
        if not found.exists():
            found.write_bytes(lzma.decompress((FOLDER / f"{name}.xz").read_bytes()))
        return found

    return path


def said(path: Path, command: str) -> str:
    """What a command prints."""
    with kdbg.open(path) as target:
        sink = ListSink()
        Session(target, sink, ListSink()).execute(command)
        return sink.text()


def addresses(target: Any, names: set[str]) -> set[tuple[str, int]]:
    """Name and address of each symbol that has one of the names: one pass over all of them."""
    return {(found.name, found.address) for found in target.kernel.symbols if found.name in names}


@pytest.mark.parametrize("name", KERNELS)
def test_registers_are_those_that_the_emulator_shows(real: Callable[[str], Path], name: str) -> None:
    contexts = open_image(str(real(name))).contexts
    wanted = EXPECTED[name]["registers"]
    assert len(contexts) == len(wanted)
    for context, registers in zip(contexts, wanted, strict=True):
        names = {key: key if key in context else key.replace("e", "r", 1) for key in registers}
        assert {key: context[names[key]] for key in registers} == {k: int(v, 16) for k, v in registers.items()}


@pytest.mark.parametrize("name", KERNELS)
def test_translations_are_those_of_the_machine(real: Callable[[str], Path], name: str) -> None:
    with kdbg.open(real(name)) as target:
        for virtual, physical in EXPECTED[name]["translations"]:
            assert target.translate(int(virtual, 16)).pfn == int(physical, 16) >> 12


@pytest.mark.parametrize("name", [*KERNELS, "lx61-kdump.elf"])
def test_symbols_are_those_of_kallsyms(real: Callable[[str], Path], name: str) -> None:
    with kdbg.open(real(name)) as target:
        wanted = {(symbol, int(address, 16)) for symbol, address in EXPECTED[name]["symbols"]}
        assert wanted
        assert wanted <= addresses(target, {symbol for symbol, _ in wanted})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lx61-panic.elf", ("Linux 6.1.0-56-cloud-amd64", "87347 of the kernel, 12 modules")),
        (
            "lx61-novmci.elf",
            ("kallsyms by its structure", "87347 of the kernel, 11 modules", "of 28736: 28108 excluded"),
        ),
        ("lx61-kdump.elf", ("kallsyms by VMCOREINFO", "panic on CPU 1: sysrq triggered crash", "of 57211: ")),
        ("lx61-arm64.elf", ("Linux 6.1.0-50-cloud-arm64", "machine: arm64, 2 CPU contexts")),
        ("lx61-i386.elf", ("Linux 6.1.0-50-686", "kallsyms by VMCOREINFO")),
        (
            "lx61-slice.flat-zlib",  # no kernel lies in its pages: the header names the system
            ("(64-bit) from kdguest", "6.1.0-56-cloud-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2", "(x86_64)"),
        ),
        ("xen-linux-crash.core", ("written by Xen 4.17.7", "machine: paravirtual x86-64")),
        ("xen-host.vmcore", ("Linux 6.1.0-56-amd64", "hypervisor: Xen 4.17.7 at ffff82d040000000, 6884 symbols")),
    ],
)
def test_status(real: Callable[[str], Path], name: str, words: tuple[str, ...]) -> None:
    text = said(real(name), "::status")
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("name", "command", "functions"),
    [
        (
            "lx61-panic.elf",
            "::cpustack -c 1",
            ["delay_tsc", "panic", "sysrq_handle_crash", "vfs_write", "do_syscall_64"],
        ),
        (
            "lx61-arm64.elf",
            "::cpustack -c 1",
            ["cpu_do_idle", "do_idle", "cpu_startup_entry", "secondary_start_kernel"],
        ),
        ("lx61-i386.elf", "::cpustack -c 0", ["default_idle", "do_idle", "cpu_startup_entry", "rest_init"]),
    ],
)
def test_stacks(real: Callable[[str], Path], name: str, command: str, functions: list[str]) -> None:
    text = said(real(name), command)
    places = [text.index(f"{function}+") for function in functions]
    assert places == sorted(places)


def test_a_xen_host_s_two_kernels(real: Callable[[str], Path]) -> None:
    """Their symbols as /proc/kallsyms and Xen's own ELF file have them; the trace that domain 0 printed as it died."""
    wanted = EXPECTED["xen-host.vmcore"]
    with kdbg.open(real("xen-host.vmcore")) as target:
        for name, address in wanted["symbols"]:
            assert target.symbol(name).address == int(address, 16)
        frames = target.cpu_stack(target.registers())
        shown = [f"{frame.symbol}+{frame.offset:#x}" for frame in frames]
        begin = shown.index(wanted["trace"][0])
        assert shown[begin:-1] == wanted["trace"]
        assert [f"{frames[-1].pc:x}", f"{frames[-1].sp:x}"] == wanted["user"]
        modules = [frame.module for frame in frames]
        assert modules.index("vmlinux") == len([module for module in modules if module == "xen"])


def test_the_stack_of_a_panic_is_the_one_that_drgn_walks(real: Callable[[str], Path]) -> None:
    """Of the dump that the crash kernel wrote."""
    text = said(real("lx61-kdump.elf"), "::cpustack -c 1")
    assert [word for line in text.splitlines() for word in line.split()[:1] if word][: len(KDUMP)] == KDUMP


@pytest.mark.parametrize("name", ["lx61-kdump.elf", "lx61-novmci.elf"])
def test_what_a_slim_dump_left_out_is_excluded(real: Callable[[str], Path], name: str) -> None:
    image = open_image(str(real(name)))
    first, end = image.excluded[-1]
    for frame in (first, end - 1):
        assert image.page(frame) is None
        assert image.why_missing(frame) == "excluded from the dump on purpose"
    assert image.describe().complete


@pytest.mark.parametrize("name", SLICES)
def test_pages_are_those_that_libkdumpfile_reads(real: Callable[[str], Path], name: str) -> None:
    image, digest = open_image(str(real(name))), hashlib.sha256()
    for frame in image.pages:
        digest.update(frame.to_bytes(8, "little") + bytes(image.page(frame) or b""))
    assert digest.hexdigest() == EXPECTED[name]["sha256"]
