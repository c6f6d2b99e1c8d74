"""The dump of a whole Xen host: its hypervisor, its CPUs, domain 0 above it. Built by `samples.xen_host`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.formats import open_image
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from samples.linux import HOST, RELEASE, VERSION
from samples.xen_host import START, TEXT, XenHost

PLANS = {"kdump": {}, "QEMU": {"qemu": True}, "QEMU, vCPUs unknown": {"qemu": True, "vcpus_known": False}}


class Opened:
    """A built host, opened: the target's attributes, and the plan's as ``.planned``."""

    def __init__(self, folder: Path, beside: bytes | None = None, **plan: Any) -> None:
        self.planned = XenHost(**plan)
        self.path = self.planned.write(folder / "host.vmcore")
        files = [self.path]
        if beside is not None:
            files.insert(0, self.planned.write_symbols(folder / "xen-syms", beside))
        self.target = kdbg.open(*files)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def says(self, command: str) -> list[str]:
        """The lines of a command."""
        out = ListSink()
        Session(self.target, out, ListSink()).execute(command)
        return out.text().splitlines()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Opened]]:
    """Build a host and open it; the arguments are those of `samples.xen_host.XenHost`. Not to be changed."""
    opened: dict[str, Opened] = {}

    def build(**plan: Any) -> Opened:
        key = repr(sorted(plan.items()))
        if key not in opened:
            opened[key] = Opened(tmp_path_factory.mktemp("host"), **plan)
        return opened[key]

    yield build
    for one in opened.values():
        one.target.close()


hosts = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)


# the notes


def test_the_notes_tell_of_the_hypervisor(host: Callable[..., Opened]) -> None:
    found = host().image.host
    assert (found.info.major, found.info.minor, found.details["xen_version"]) == (4, 17, "4.17.7")
    assert found.details["compiler"] == "sample-gcc 12"
    assert found.vmcoreinfo["OFFSET(domain.next_in_list)"] == "136"
    assert found.info.frame_list_list == host().planned.top


def test_control_registers_lie_behind_each_cpu_s_registers(host: Callable[..., Opened]) -> None:
    for context, planned in zip(host().image.contexts, host().planned.registers, strict=True):
        assert {name: context[name] for name in ("rip", "rsp", "cr0", "cr2", "cr3", "cr4")} == {
            name: planned[name] for name in ("rip", "rsp", "cr0", "cr2", "cr3", "cr4")
        }


@hosts
def test_info_names_the_format(host: Callable[..., Opened], plan: dict[str, Any]) -> None:
    told = host(**plan).image.describe()
    assert told.format.startswith("ELF dump of a Xen host")
    assert ("QEMU" in told.format) == bool(plan)
    assert not told.paravirtual
    assert told.cpus == 2
    assert told.pages == len(host(**plan).planned.frames)


def test_a_host_in_makedumpfile_s_format(host: Callable[..., Opened], tmp_path: Path) -> None:
    from samples.kdump import KdumpShape

    planned = host().planned
    path = tmp_path / "host.kdump"
    path.write_bytes(KdumpShape(notes=planned.notes(), compression="zlib").data(planned.frames))
    with kdbg.open(path) as target:
        assert target.image.describe().details["xen_version"] == "4.17.7"
        frames = target.cpu_stack(target.registers())
        assert [frame.symbol for frame in frames][-2:] == ["cpu_startup_entry", "secondary_startup_64"]


def test_old_notes_have_fewer_words() -> None:
    from kdbg.formats.xen_host import crash_info

    eight, nine, ten = (struct.pack(f"<{count}Q", *range(1, count + 1)) for count in (8, 9, 10))
    assert crash_info(eight, 8).frame_list_list is None
    assert (crash_info(nine, 8).phys_start, crash_info(nine, 8).frame_list_list) == (None, 9)
    assert (crash_info(ten, 8).phys_start, crash_info(ten, 8).frame_list_list) == (9, 10)
    assert crash_info(struct.pack("<9I", *range(9)), 4).frame_list_list == 8
    assert crash_info(eight[:-1], 8) is None


# memory


@hosts
def test_domain_0_s_pages_lie_behind_its_list(host: Callable[..., Opened], plan: dict[str, Any]) -> None:
    """Of the notes in a kdump, else the one that its kernel has at xen_p2m_addr."""
    opened = host(**plan)
    assert opened.kernel.family == "linux"
    dom0 = opened.image.host.dom0
    assert dom0.listed == (not plan)
    for pfn, mfn in opened.planned.mfns.items():
        assert dom0.pfn_to_mfn(pfn) == mfn
        assert dom0.mfn_to_pfn(mfn) == pfn
        assert bytes(dom0.page_of_pfn(pfn)) == opened.planned.frames[mfn]
    assert sorted(dom0.pages) == sorted(opened.planned.mfns)
    assert dom0.pfn_to_mfn(0x10) is None  # identity: none of its own
    assert dom0.pfn_to_mfn(1 << 40) is None
    with pytest.raises(kdbg.Missing, match="domain 0 has no page 10"):
        dom0.read_physical(0x10000, 8)


def test_physical_addresses_are_the_machine_s(host: Callable[..., Opened]) -> None:
    opened = host()
    banner = opened.planned.guest.places["linux_banner"]
    found = opened.translate(banner)
    assert found.mfn == opened.planned.mfns[found.pfn] != found.pfn
    assert found.physical == found.mfn << 12 | banner & 0xFFF
    assert opened.read_physical(found.physical, 13) == b"Linux version"
    assert opened.says(f"{banner:x}::vtop") == [f"virtual {banner:x} mapped to physical {found.physical:x}"]
    assert opened.says(f"{found.pfn:x}::pfntomfn") == [f"{found.mfn:x}"]
    assert opened.says(f"{found.mfn:x}::mfntopfn") == [f"{found.pfn:x}"]


def test_the_hypervisor_s_pages_have_no_pfn(host: Callable[..., Opened]) -> None:
    opened = host()
    at = opened.planned.places["messages"]
    found = opened.translate(at)
    assert found.pfn is None
    assert found.physical == opened.planned.machine["messages"]
    assert opened.read(at, 5) == b"(XEN)"
    assert opened.says(f"{at:x}::vatopfn")[-1] == f"Virtual address 0x{at:x} maps mfn 0x{found.mfn:x}"


# the hypervisor


@hosts
def test_status_tells_both_kernels(host: Callable[..., Opened], plan: dict[str, Any]) -> None:
    lines = host(**plan).says("::status")
    assert lines[0].endswith(f"from {HOST}")
    assert f"operating system: Linux {RELEASE} {VERSION} (x86_64)" in lines
    symbols = len(host(**plan).planned.symbols)
    assert f"hypervisor: Xen 4.17.7 at {START:x}, {symbols + 1} symbols" in lines


@hosts
def test_its_own_table_has_its_names(host: Callable[..., Opened], plan: dict[str, Any]) -> None:
    opened = host(**plan)
    for address, _, name in opened.planned.symbols:
        assert opened.symbol(f"xen`{name}").address == address
    assert opened.symbol_at(TEXT + 0x40 * 30 + 5)[0].name == "symbol_of_xen_19"
    assert opened.symbol("symbol_of_xen_19").module == "xen"
    assert opened.symbol("cpu_idle").module == "vmlinux"


def test_a_file_has_its_names(tmp_path: Path) -> None:
    opened = Opened(tmp_path, beside=bytes(range(20)), own_symbols=False)
    assert opened.symbol("xen`pv_hypercall").address == opened.planned.places["pv_hypercall"]
    assert not opened.notes


@pytest.mark.parametrize("linux", [True, False])
def test_a_file_is_given_by_the_option(tmp_path: Path, linux: bool) -> None:
    """As ``--symbols``; without a known domain 0 too. One that has nothing of the hypervisor's is refused."""
    planned = XenHost(own_symbols=False, linux=linux)
    path, symbols = planned.write(tmp_path / "host"), planned.write_symbols(tmp_path / "xen-syms")
    with kdbg.open(path, symbols=symbols) as target:
        assert target.symbol("xen`pv_hypercall").address == planned.places["pv_hypercall"]
    other = planned.write_symbols(tmp_path / "other-syms", bytes(20))
    with pytest.raises(kdbg.Error):
        kdbg.open(path, symbols=other)


def test_a_file_of_another_build_is_not_used(tmp_path: Path) -> None:
    opened = Opened(tmp_path, beside=bytes(20))
    assert opened.symbol("xen`pv_hypercall").module == "xen"  # of its own table
    assert any("of another build" in note for note in opened.notes)


def test_without_any_names_the_stack_is_told_all_the_same(host: Callable[..., Opened]) -> None:
    opened = host(own_symbols=False)
    frames = opened.cpu_stack(opened.planned.registers[1] | {"cr3": opened.image.contexts[1]["cr3"]})
    behind = [opened.planned.places[f"behind the call in {name}"] for name in ("pv_hypercall", "lstar_enter")]
    assert {frame.pc for frame in frames} >= set(behind)
    assert any("no symbols of the hypervisor" in note for note in opened.notes)


# CPUs


def test_the_stack_of_a_cpu_goes_on_in_domain_0(host: Callable[..., Opened]) -> None:
    frames = host().cpu_stack(host().image.contexts[1])
    assert [frame.symbol for frame in frames] == [
        "kexec_crash_save_cpu", "kexec_crash", "hwdom_shutdown", "do_sched_op", "pv_hypercall", "lstar_enter",
        "cpu_idle", "cpu_startup_entry", "secondary_startup_64",
    ]  # fmt: skip
    assert frames[6].note == "the hypervisor was entered from d0v1 here"
    assert [frame.module for frame in frames] == ["xen"] * 6 + ["vmlinux"] * 3


@hosts
def test_an_idle_cpu_was_stopped_by_an_nmi(host: Callable[..., Opened], plan: dict[str, Any]) -> None:
    frames = host(**plan).cpu_stack(host(**plan).image.contexts[0])
    assert [(frame.symbol, frame.note) for frame in frames[3:]] == [
        ("default_idle", "interrupted here"), ("idle_loop", "the CPU was idle"),
    ]  # fmt: skip


@hosts
def test_what_was_on_each_cpu(host: Callable[..., Opened], plan: dict[str, Any]) -> None:
    opened = host(**plan)
    found = [opened.kernel.hypervisor.guests.running(registers) for registers in opened.image.contexts]
    assert [one.name for one in found] == ["d[IDLE]v0", "d0v1"]
    assert [one.vcpu for one in found] == [opened.planned.places[name] for name in ("idle vcpu", "vcpu")]
    assert found[1].guest == opened.planned.guest_registers


def test_a_domain_leads_to_its_vcpus_and_these_to_its_tables(host: Callable[..., Opened]) -> None:
    opened = host(qemu=True)
    below, places = opened.kernel.hypervisor.guests, opened.planned.places
    assert below.vcpus(places["domain"]) == [places["vcpu"]]
    assert below.vcpus(places["vcpu"]) == below.vcpus(0) == []
    assert list(opened.image.host.dom0.roots) == [opened.kernel.space.root]


def test_the_default_cpu_is_the_one_that_crashed(host: Callable[..., Opened]) -> None:
    assert host().target.registers()["rsp"] == host().planned.places["sp 1"]
    assert host().says("$c")[0] == "kexec_crash_save_cpu+0x20()"
    assert host().says("::cpustack -c 0")[-1] == "idle_loop+0x15()  [the CPU was idle]"


def test_a_host_without_a_known_domain_0(host: Callable[..., Opened]) -> None:
    opened = host(linux=False)
    assert opened.kernel.family == "xen"
    assert "operating system: not one that kdbg knows" in opened.says("::status")
    assert opened.says("$c")[-1].endswith("[the hypervisor was entered from d0v1 here]")
    assert opened.says("xen`pv_hypercall::dis -n 1") == opened.says("pv_hypercall::dis -n 1")
    assert opened.read(opened.planned.places["messages"], 5) == b"(XEN)"


def test_domain_0_is_found_by_its_own_word(host: Callable[..., Opened]) -> None:
    """Of a dump without the hypervisor's pages, whose CPUs ran something else: by VMCOREINFO and the list of frames."""
    opened = host(dom0_alone=True)
    assert opened.kernel.hypervisor is None
    assert "hypervisor: Xen 4.17, of which the dump does not hold enough" in opened.says("::status")
    banner = opened.planned.guest.places["linux_banner"]
    assert opened.read(banner, 13) == b"Linux version"
    assert opened.translate(banner).physical == opened.translate(banner).mfn << 12 | banner & 0xFFF
    assert opened.symbol("cpu_idle").address == opened.planned.guest.places["cpu_idle"]
    assert opened.says("::cpustack -c 0")[0].startswith(f"0x{opened.planned.registers[0]['rip']:x}()")


def test_the_hypervisor_s_messages(host: Callable[..., Opened]) -> None:
    """The buffer had begun again: what was written last stands at its beginning."""
    assert host().says("::xenlog") == ["(XEN) Xen version 4.17.7 (a sample)", "(XEN) Shot down all CPUs"]
    with pytest.raises(kdbg.CommandError, match="not found"):
        host(own_symbols=False).run("::xenlog")


# damage


def _damaged(path: Path, change: Callable[[bytearray], None]) -> Path:
    data = bytearray(path.read_bytes())
    change(data)
    found = path.with_name("damaged")
    found.write_bytes(data)
    return found


def _zero(what: bytes) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        at = data.find(what)
        assert at >= 0
        data[at : at + len(what)] = bytes(len(what))

    return change


def test_a_list_of_domains_that_goes_in_a_circle_ends(tmp_path: Path) -> None:
    planned = XenHost()
    path = planned.write(tmp_path / "host")
    where = planned.machine["domain"]

    def link(data: bytearray) -> None:
        from kdbg.formats.elf import Elf
        from kdbg.formats.source import Source

        for segment in Elf(Source.of_bytes("", bytes(data))).segments:
            if segment.paddr <= where < segment.paddr + segment.filesz and segment.type == 1:
                at = segment.offset + where - segment.paddr + 136
                data[at : at + 8] = struct.pack("<Q", planned.places["domain"])

    with kdbg.open(_damaged(path, link)) as target:
        assert list(target.kernel.hypervisor.guests.domains.values()) == [0]


@pytest.mark.parametrize("what", ["tokens", "lists", "registers"])
def test_what_is_damaged_leaves_the_rest(tmp_path: Path, what: str) -> None:
    planned = XenHost()
    path = planned.write(tmp_path / "host")
    digits = b"".join(b"%d\0" % digit for digit in range(10))
    pattern = {
        "tokens": digits,
        "lists": struct.pack("<2Q", 0, planned.top),
        "registers": struct.pack("<2Q", planned.registers[1]["cr2"], planned.registers[1]["cr3"]),
    }[what]
    if what == "lists":
        pattern = struct.pack("<Q", planned.top)
    with kdbg.open(_damaged(path, _zero(pattern))) as target:
        assert target.image.describe().format == "ELF dump of a Xen host"
        out = ListSink()
        session = Session(target, out, ListSink())
        for command in ("::status", "::cpuregs -c 1", "$c", "::cpustack -c 0"):
            session.execute(command)
        assert "kexec_crash" in out.text() or what == "tokens"


def test_an_ordinary_dump_is_no_host(tmp_path: Path) -> None:
    from samples.dump_notes import EM_X86_64, notes
    from samples.elf_dump import ElfDump, Load

    path = tmp_path / "vmcore"
    registers = {"rip": 0xFFFFFFFF81000000, "cs": 0x10, "idt_base": 0xFFFFFE0000000000}
    ElfDump([Load(0, bytes(4096))], notes(EM_X86_64, [registers], qemu=True)).write(path)
    assert open_image(str(path)).host is None
