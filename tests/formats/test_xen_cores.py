"""A built domain in each format, width and kind of virtualisation: what was planned is what is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kdbg
from samples.memory import PAGE
from samples.solaris import Domain, SolarisDomain, standard
from samples.xen_core import ElfShape

VARIANTS = {
    "xc_core, pfn order": {"format": "xc_core"},
    "xc_core, machine frames alone": {"format": "xc_core", "index": "mfn"},
    "ELF": {"format": "elf"},
    "ELF, frames before pages": {"format": "elf", "shape": ElfShape(frames_first=True)},
    "ELF, in another order": {"format": "elf", "shape": ElfShape(shuffle_sections=3, shuffle_frames=4, invalid=9)},
    "ELF, by 64-bit tools": {"format": "elf", "tools64": True},
    "ELF of 32 bits": {"format": "elf", "shape": ElfShape(elf_bits=32, frames_first=True)},
}  # fmt: skip
MACHINES = [(64, True), (64, False), (32, True), (32, False)]


@pytest.fixture(scope="module")
def built() -> Callable[[int, bool], Domain]:
    """The standard domain of a width and kind, built once."""
    made: dict[tuple[int, bool], Domain] = {}

    def build(bits: int, paravirtual: bool) -> Domain:
        key = (bits, paravirtual)
        if key not in made:
            made[key] = standard(bits, paravirtual).build()
        return made[key]

    return build


@pytest.fixture(params=MACHINES, ids=["64-pv", "64-hvm", "32-pv", "32-hvm"])
def machine(request: pytest.FixtureRequest, built: Callable[[int, bool], Domain]) -> Domain:
    """A domain of each width and kind."""
    return built(*request.param)


@pytest.fixture(params=VARIANTS, ids=list(VARIANTS))
def opened(request: pytest.FixtureRequest, machine: Domain, open_domain: Callable[..., Any]) -> Any:
    """That domain in each format."""
    return open_domain(machine, **VARIANTS[request.param])


def test_it_says_what_it_is(opened: Any) -> None:
    info, image = opened.info, opened.built.image
    assert (info.bits, info.paravirtual) == (image.bits, image.paravirtual)
    assert info.cpus == len(opened.planned.cpus)
    assert info.host == "builder"
    assert info.complete


def test_every_page_reads_as_written(opened: Any) -> None:
    frames = opened.built.image.frames
    assert set(opened.pages) == set(frames.pages)
    for pfn, page in frames.pages.items():
        assert opened.read_physical(pfn * PAGE, PAGE) == page


def test_frames_both_ways(opened: Any) -> None:
    frames = opened.built.image.frames
    for pfn in frames.pages:
        if frames.paravirtual:
            assert opened.pfn_to_mfn(pfn) == frames.mfn(pfn)
            assert opened.mfn_to_pfn(frames.mfn(pfn)) == pfn
        else:
            assert opened.pfn_to_mfn(pfn) is None
    assert 0 not in opened.pages
    assert opened.pfn_to_mfn(0) is None


def test_registers(opened: Any) -> None:
    for planned, cpu in zip(opened.planned.cpus, opened.cpus(), strict=True):
        assert cpu.id == planned.id
        assert {name: cpu.registers[name] for name in planned.registers} == planned.registers


def test_every_kernel_page_translates(opened: Any) -> None:
    image = opened.built.image
    for page, pfn in image.space.pages.items():
        found = opened.translate(page * PAGE + 0x123)
        assert (found.pfn, found.physical, found.level) == (pfn, pfn * PAGE + 0x123, 0)
        assert found.mfn == (image.frames.mfn(pfn) if image.paravirtual else None)
        assert found.missing is None


def test_user_pages_translate_in_their_process(opened: Any) -> None:
    for process in opened.planned.processes:
        for va, pfn in process.pages.items():
            assert opened.translate(va, process=process.pid).pfn == pfn
            with pytest.raises(kdbg.Unmapped):
                opened.translate(va)


def test_the_kernel_is_mapped_in_every_process(opened: Any) -> None:
    planned = opened.planned
    for process in planned.processes:
        assert opened.translate(planned.threads[0].address, process=process.pid).missing is None


def test_modules_and_symbols(opened: Any) -> None:
    image = opened.built.image
    modules = {module.name: module for module in opened.modules()}
    assert {name: module.base for name, module in modules.items()} == {m.name: m.text for m in image.modules.values()}
    for name, symbol in image.symbols.items():
        found = opened.symbol(f"{symbol.module}`{name}")
        assert (found.address, found.size) == (symbol.address, symbol.size)


def test_threads_and_processes(opened: Any) -> None:
    planned = opened.planned
    found = [(t.address, t.pid, t.state) for t in opened.threads()]
    assert found == [(t.address, t.pid, t.state) for t in planned.threads]
    assert {t.address for t in opened.threads() if t.taskq} == planned.taskq_threads
    assert {(p.pid, p.name, p.address) for p in opened.processes()} == {
        (p.pid, p.name, p.address) for p in planned.processes
    }


def test_stacks_with_their_arguments(opened: Any) -> None:
    for thread in opened.planned.threads:
        frames = opened.stack(thread.address)
        assert [(f.pc, f.symbol, f.offset) for f in frames] == [(f.pc, f.symbol, f.offset) for f in thread.frames]
        if opened.built.image.bits == 64:
            # of more than six arguments the rest is passed on the stack; assembler functions have no types
            assert [f.arguments for f in frames] == [f.arguments for f in thread.frames]


def test_messages(opened: Any) -> None:
    assert [entry.text for entry in opened.log()] == [text.rstrip("\n") for text in opened.planned.messages]


def test_fewer_contexts_than_cpus(open_domain: Callable[..., Any]) -> None:
    """A vCPU that was never started has no context, and no number is stored with the others."""
    opened = open_domain(standard(cpus=4), format="elf", vcpus=3)
    assert opened.info.cpus == 3
    assert [cpu.thread for cpu in opened.cpus() if cpu.registers] == [cpu.thread for cpu in opened.planned.cpus[:3]]


def test_many_cpus(open_domain: Callable[..., Any]) -> None:
    for form in ("xc_core", "elf"):
        opened = open_domain(SolarisDomain(cpus=40), format=form)
        assert [cpu.registers["rip"] for cpu in opened.cpus()] == [cpu.registers["rip"] for cpu in opened.planned.cpus]


def test_no_contexts_at_all(open_domain: Callable[..., Any]) -> None:
    """Without contexts nothing tells where the page tables are; pages can still be read."""
    opened = open_domain(standard(), format="elf", shape=ElfShape(without=frozenset({".xen_prstatus"})))
    pfn = next(iter(opened.built.image.frames))
    assert opened.cpus() == []
    assert opened.read_physical(pfn * PAGE, PAGE) == opened.built.image.frames.pages[pfn]
    with pytest.raises(kdbg.Error):
        opened.translate(0xFFFFFFFFFB800000)


def test_without_shared_info(open_domain: Callable[..., Any]) -> None:
    opened = open_domain(standard(), format="elf", shape=ElfShape(without=frozenset({".xen_shared_info"})))
    assert [t.address for t in opened.threads()] == [t.address for t in opened.planned.threads]


def test_xens_own_frame_is_missing_and_says_so(open_domain: Callable[..., Any]) -> None:
    """The shared page of a paravirtual domain is a frame of Xen's: mapped, but in no frame table."""
    opened = open_domain(standard(shared_page="xen"), format="elf")
    found = opened.translate(opened.built.image.map.shared_info)
    assert found.mfn is not None
    assert found.pfn is None
    assert found.missing


@pytest.mark.parametrize("bits", [64, 32])
def test_both_forms_of_struct_module(bits: int, open_domain: Callable[..., Any]) -> None:
    """Later kernels have three members more behind the ELF header of struct module."""
    for later in (False, True):
        opened = open_domain(SolarisDomain(bits, later_module=later).thread("one"))
        assert opened.type("struct module").size == opened.built.image.layout.sizeof("struct module")
        assert len(list(opened.threads())) == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("bits", [64, 32])
def test_another_build_of_the_kernel(bits: int, seed: int, open_domain: Callable[..., Any]) -> None:
    """Every member of every structure has moved: only the image's own types say where it is."""
    opened = open_domain(standard(bits, shuffle=seed), format="elf")
    planned = opened.planned
    assert [(t.address, t.pid) for t in opened.threads()] == [(t.address, t.pid) for t in planned.threads]
    assert {(p.pid, p.name) for p in opened.processes()} == {(p.pid, p.name) for p in planned.processes}
    assert [entry.text for entry in opened.log()] == [text.rstrip("\n") for text in planned.messages]
    assert [cpu.thread for cpu in opened.cpus()] == [cpu.thread for cpu in planned.cpus]
    for thread in planned.threads:
        assert [f.pc for f in opened.stack(thread.address)] == [f.pc for f in thread.frames]
    layout = opened.built.image.layout
    for name in ("struct proc", "struct cpu", "struct _kthread", "struct kmem_cache"):
        assert {m.name: m.offset for m in opened.type(name).members} == dict(layout.members(name))


def test_a_file_that_is_no_dump(tmp_path: Path) -> None:
    for content in (b"", b"\xed", b"hello, world\n" * 9, bytes(5000), b"\x7fELF" + bytes(80)):
        path = tmp_path / "thing"
        path.write_bytes(content)
        with pytest.raises(kdbg.Error):
            kdbg.open(path)
