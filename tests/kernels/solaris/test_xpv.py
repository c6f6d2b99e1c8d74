"""The dump of Solaris xVM after a panic of its hypervisor: domain 0's kernel and Xen in one (`samples.xpv_dump`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import kdbg
from kdbg.formats import open_image
from kdbg.formats.illumos import IllumosDump
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from samples.memory import PAGE
from samples.xpv_dump import DOMAINS, FOREIGN, FUNCTIONS, XEN_START, XpvDump

FORMS = (None, "lzjb", "lzjb streams", "bzip2")
PLANNED = {0x8050000: b"\x7fELF text of bash", 0x8051000: b"more text", 0x8047000: b"stack of bash"}
"""User pages of bash, pid 565 (`samples.solaris.standard`)."""


class Opened:
    """A built dump, opened: the target, the plan, and the same domain as a core of Xen's to compare with."""

    def __init__(self, folder: Path, bits: int, hypervisor: bool) -> None:
        self.planned = XpvDump(bits, hypervisor)
        self.path = self.planned.write(folder / "vmcore.0")
        self.target = kdbg.open(self.path)
        self.core = kdbg.open(self.planned.domain.write(folder))

    def says(self, command: str) -> list[str]:
        """The lines of a command."""
        out = ListSink()
        Session(self.target, out, ListSink()).execute(command)
        return out.text().splitlines()


@pytest.fixture(scope="module", params=[64, 32], ids=["64", "32"])
def xpv(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A dump of each width in which the hypervisor panicked. Not to be changed."""
    opened = Opened(tmp_path_factory.mktemp("xpv"), request.param, True)
    yield opened
    opened.target.close()
    opened.core.close()


def test_status_says_which_of_the_two_panicked(xpv: Opened, tmp_path: Path) -> None:
    made_up = len(xpv.planned.xen) + 1  # the shared page besides
    assert f"panicked: the hypervisor below domain 0; {made_up} pages of it beside the kernel's" in xpv.says("::status")
    alone = Opened(tmp_path, xpv.planned.bits, False)
    assert "panicked: the kernel of domain 0" in alone.says("::status")
    assert "xpv" not in [module.name for module in alone.target.modules()]


def test_info_counts_the_hypervisor_s_pages(xpv: Opened) -> None:
    image = open_image(str(xpv.path))
    assert image.describe().details["pages_of_xen"] == len(xpv.planned.xen) + 1


def test_an_ordinary_kernel_has_no_hypervisor(tmp_path: Path) -> None:
    from samples.illumos_dump import of_domain
    from samples.solaris import standard

    path = of_domain(standard(paravirtual=False).build()).write(tmp_path / "vmcore.0")
    with kdbg.open(path) as target:
        assert target.kernel.hypervisor_panicked is None
        assert "pages_of_xen" not in target.image.describe().details


def test_the_hypervisor_is_a_module(xpv: Opened) -> None:
    assert [module.name for module in xpv.target.modules()][-1] == "xpv"
    for name in FUNCTIONS:
        planned = xpv.planned.image.symbols[f"xen_{name}"]
        found = xpv.target.symbol(f"xpv`xen_{name}")
        assert (found.address, found.size) == (planned.address, planned.size)


def test_its_pages_are_read_by_their_addresses(xpv: Opened) -> None:
    assert xpv.planned.xen
    for address, data in xpv.planned.xen.items():
        assert xpv.target.read(address, PAGE) == data
        found = xpv.target.translate(address)
        assert (found.pfn, found.physical) == (None, None)  # a made-up frame is no place in memory
    assert xpv.target.image.made_up(FOREIGN[xpv.planned.bits] | 3)


def test_the_stack_goes_over_an_exception(xpv: Opened) -> None:
    """Xen marks the frame of an exception by inverting the pointer to it."""
    (fp, pc), *_ = xpv.planned.stack
    names = ("rbp", "rip") if xpv.planned.bits == 64 else ("ebp", "eip")
    frames = xpv.target.cpu_stack(dict(zip(names, (fp, pc), strict=True)))
    assert [(frame.sp, frame.pc) for frame in frames] == xpv.planned.stack
    assert [frame.symbol for frame in frames] == [f"xen_{name}" for name in FUNCTIONS]
    assert frames[-1].note is None


def test_its_domains_by_its_types(xpv: Opened) -> None:
    found = xpv.target.run("::domain")
    assert [(one.domain_id, one.tot_pages, one.max_pages, one.domain_flags, one.is_hvm) for one in found] == list(
        DOMAINS
    )
    assert list(xpv.target.walk("domain")) == [one.address for one in found]
    heading, first, second = xpv.says("::domain")
    assert heading.split() == ["ADDR", "ID", "TPAGES", "MPAGES", "FLAGS", "HVM", "VCPU", "EVTCHN"]
    assert first.split()[1:6] == ["0", "4000", "5000", "1", "0"]
    assert xpv.says(f"{found[1].address:x}::domain") == [heading, second]
    start = XEN_START[xpv.planned.bits]
    assert list(xpv.target.walk("vcpu")) == [start + 0x1000]
    assert list(xpv.target.walk("vcpu", found[1].address)) == [start + 0x2000, start + 0x2100]


def test_other_kernels_have_no_domains(tmp_path: Path) -> None:
    alone = Opened(tmp_path, 64, False)
    for command in ("::domain", "::walk vcpu"):
        with pytest.raises(kdbg.CommandError, match="unknown"):
            alone.target.run(command)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_dump_answers_the_same(xpv: Opened, tmp_path: Path, form: str | None) -> None:
    path = xpv.planned.write(tmp_path / "dump", form)
    with kdbg.open(path) as target:
        assert [thread.address for thread in target.threads()] == [one.address for one in xpv.core.threads()]
        assert [process.pid for process in target.processes()] == [one.pid for one in xpv.core.processes()]
        for address, data in xpv.planned.xen.items():
            assert target.read(address, PAGE) == data


def test_page_tables_hold_machine_frames(xpv: Opened) -> None:
    """A process is not in the dump's map: its tables lead to machine frames, the kernel's list from there to pages."""
    for pid in (565, 571):
        [process] = [one for one in xpv.target.processes() if one.pid == pid]
        space, same = xpv.target.space_for(process=process), xpv.core.space_for(process=pid)
        assert space.root == same.root
        for address in PLANNED if pid == 565 else [0x8050000]:
            assert space.read(address, 64) == same.read(address, 64)
            assert space.translate(address).pfn == same.translate(address).pfn
    space = xpv.target.space_for(process=565)
    assert {address: space.read(address, len(text)) for address, text in PLANNED.items()} == PLANNED


def test_what_the_map_leaves_out_comes_by_the_tables(xpv: Opened, tmp_path: Path) -> None:
    address, whole = xpv.planned.domain.planned.thread("shell").address & -PAGE, xpv.planned.dump()
    assert address in [row[1] for row in whole.translations]
    short = replace(whole, translations=[row for row in whole.translations if row[1] != address])
    with kdbg.open(short.write(tmp_path / "vmcore.0")) as target:
        assert isinstance(target.image, IllumosDump)
        assert target.image.frame_of(target.symbol("kas").address, address) is None
        assert target.read(address, PAGE) == xpv.target.read(address, PAGE)


def test_without_the_list_no_table_is_walked(xpv: Opened, tmp_path: Path) -> None:
    planned = XpvDump(xpv.planned.bits)
    planned.image.set("mfn_count", 0)
    address, whole = planned.domain.planned.thread("shell").address & -PAGE, planned.dump()
    short = replace(whole, translations=[row for row in whole.translations if row[1] != address])
    with kdbg.open(short.write(tmp_path / "vmcore.0")) as target:
        with pytest.raises(kdbg.Unmapped):
            target.read(address, 8)
        assert any("page tables were not found: its page tables hold machine frames" in one for one in target.notes)
        with pytest.raises(kdbg.CommandError, match="hold machine frames"):
            target.space_for(process=565)


def test_frames_are_told_both_ways(xpv: Opened) -> None:
    frames: Callable[[int], int] = xpv.planned.image.frames.mfn
    pfn = next(iter(xpv.planned.image.frames))
    assert xpv.says(f"{pfn:x}::pfntomfn") == [f"{frames(pfn):x}"]
    assert xpv.says(f"{frames(pfn):x}::mfntopfn") == [f"{pfn:x}"]
