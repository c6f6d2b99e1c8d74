"""A Linux kernel found in an image: what it is, its CPUs, its modules, its stacks, and the dcmds on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.errors import CommandError, TypeNotFound
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from samples.kallsyms import FORMS
from samples.linux import HOST, RELEASE, VERSION

PLANS = [
    {}, {"paravirtual": True}, {"form": FORMS["6.1 i386"]}, {"isolated": True}, {"offset": 0x7600000},
]  # fmt: skip
plans = pytest.mark.parametrize("plan", PLANS, ids=["pvh", "pv", "i386", "isolated", "randomised"])


@plans
def test_the_kernel_is_told(linux: Callable[..., Any], plan: dict[str, Any]) -> None:
    guest = linux(**plan)
    assert guest.kernel.family == "linux"
    assert guest.kernel.uname["nodename"] == HOST
    assert (guest.kernel.release, guest.kernel.version) == (RELEASE, VERSION)
    assert guest.info.kernel == f"Linux {RELEASE} {VERSION}"
    assert guest.info.host == HOST
    assert guest.bits == guest.planned.bits


def test_the_banner_that_the_link_replaces_is_passed_over(linux: Callable[..., Any]) -> None:
    guest = linux()
    assert guest.kernel.banner_at == guest.planned.places["linux_banner"]


def test_a_user_half_does_not_map_the_kernel(linux: Callable[..., Any]) -> None:
    """With page table isolation the space of a CPU in user mode lacks it; the table one page below has it."""
    guest = linux(isolated=True)
    roots = [cpu.registers["cr3"] for cpu in guest.target.cpus()]
    assert sorted(roots)[0] == guest.kernel.space.root
    with pytest.raises(kdbg.Unmapped):
        guest.translate(guest.planned.base, root=max(roots))


def test_cpus_have_the_kernel_s_numbers(linux: Callable[..., Any]) -> None:
    guest = linux()
    first, second = guest.target.cpus()
    assert (first.id, first.registers["rip"]) == (0, 0x401000)  # the second context
    assert (second.id, second.registers["rip"]) == (1, guest.planned.places["cpu_idle"] + 8)
    assert (first.thread, second.thread) == (0xFFFF888000A00000, 0xFFFF888000A01000)
    assert guest.target.registers()["rip"] == 0x401000


def test_modules_and_their_symbols(linux: Callable[..., Any]) -> None:
    guest = linux()
    [module] = guest.target.modules()
    area = guest.planned.places["module"]
    assert (module.name, module.base, module.size) == ("sample_module", area, 0x4000)
    symbol = guest.symbol("sample_init")
    assert (symbol.module, symbol.address, symbol.size) == ("sample_module", area + 0x10, 0x20)
    assert guest.symbol("sample_module`sample_data").address == area + 0x2800
    assert guest.symbol_at(area + 0x1F) == (symbol, 0xF)
    with pytest.raises(kdbg.SymbolNotFound):
        guest.symbol("sample_module`cpu_idle")
    assert guest.symbol("vmlinux`cpu_idle").module == "vmlinux"


def test_a_list_of_modules_that_goes_in_a_circle_ends(tmp_path: Path, linux: Callable[..., Any]) -> None:
    from samples.linux import LinuxGuest

    path = LinuxGuest().write(tmp_path / "guest.core")
    with kdbg.open(path) as target:
        module = next(iter(target.modules()))
        assert module.address is not None
        pfn = target.translate(module.address).pfn
        where = target.image.tables.pages_at + target.image.pfns.find(pfn) * 4096 + module.address % 4096
    with path.open("r+b") as file:
        file.seek(where + 8)
        file.write((module.address + 8).to_bytes(8, "little"))
    with kdbg.open(path) as target:
        assert [module.name for module in target.modules()] == ["sample_module"]
        assert any("circle" in note for note in target.notes)


def test_a_stack_is_scanned(linux: Callable[..., Any]) -> None:
    """Callers by what their calls lead to; what a call left over before is not among them."""
    guest = linux()
    frames = guest.run("::cpustack -c 1")
    planned = guest.planned.places
    assert [frame.symbol for frame in frames] == ["cpu_idle", "cpu_startup_entry", "secondary_startup_64"]
    assert frames[0].pc == planned["cpu_idle"] + 8
    assert [frame.pc for frame in frames[1:]] == [
        planned["behind the call in cpu_startup_entry"],
        planned["behind the call in secondary_startup_64"],
    ]
    assert frames[0].note is None
    assert all("leads to the frame above" in frame.note for frame in frames[1:])


def test_user_mode_has_no_stack_in_the_kernel(linux: Callable[..., Any]) -> None:
    [frame] = linux().run("::cpustack -c 0")
    assert (frame.pc, frame.symbol) == (0x401000, None)
    assert "user mode" in frame.note


def text_of(target: Any, command: str) -> tuple[str, str]:
    """What a command prints, and says on the error stream."""
    out, errors = ListSink(), ListSink()
    session = Session(target, out, errors)
    session.execute(command)
    return out.text(), errors.text()


def test_status_text(linux: Callable[..., Any]) -> None:
    guest = linux()
    lines = text_of(guest.target, "::status")[0].splitlines()
    assert lines[:4] == [
        f"debugging domain crash dump guest.core (64-bit) from {HOST}",
        f"operating system: Linux {RELEASE} {VERSION} (x86_64)",
        f"recognised by: its banner at {guest.planned.places['linux_banner']:x}, kallsyms by its structure",
        f"symbols: {len(guest.planned.entries)} of the kernel, 1 modules",
    ]
    assert lines[4].startswith("machine: x86-64, 2 CPU contexts, ")


def test_stack_text(linux: Callable[..., Any]) -> None:
    guest = linux()
    assert text_of(guest.target, "::cpustack -c 1 2")[0] == "cpu_idle+8()\ncpu_startup_entry+0x15()  [scan]\n"
    shown = text_of(guest.target, "::cpustack -v -c 1 1")[0]
    assert shown == f"{guest.planned.places['sp']:016x} cpu_idle+8()\n"


def test_symbols_in_formats(linux: Callable[..., Any]) -> None:
    guest = linux()
    shown = "".join(text_of(guest.target, "linux_banner/s")[0].split())  # it is broken at the width of a terminal
    banner = f"Linux version {RELEASE} (builder@sample) (gcc 12, GNU ld 2.40) {VERSION}"
    assert shown == "linux_banner:linux_banner:" + banner.replace(" ", "")
    assert text_of(guest.target, "panic_cpu/D")[0].split() == ["panic_cpu:", "panic_cpu:", "-1"]


def test_registers_name_symbols(linux: Callable[..., Any]) -> None:
    shown = text_of(linux().target, "::cpuregs -c 1")[0]
    assert f"%rip = 0x{linux().planned.places['cpu_idle'] + 8:016x} cpu_idle+8" in shown


def test_an_unknown_cpu_is_an_error(linux: Callable[..., Any]) -> None:
    with pytest.raises(CommandError, match="no CPU 7"):
        linux().run("::cpuregs -c 7")


@pytest.mark.parametrize("command", ["::softint", "::modctl", "0::whatthread"])
def test_a_dcmd_of_another_kernel_says_so(linux: Callable[..., Any], command: str) -> None:
    with pytest.raises(CommandError, match="Solaris") as caught:
        linux().run(command)
    assert RELEASE in str(caught.value)


def test_what_needs_types_says_so(linux: Callable[..., Any]) -> None:
    guest = linux()
    for ask in (guest.target.threads, guest.target.processes):
        with pytest.raises(TypeNotFound, match="carries no types"):
            list(ask())


@pytest.mark.parametrize("name", ["xen-tiny.core", "xen-tiny-4v.core", "xen-tiny-pvh.core", "xen-tiny-pvh32.core"])
class TestUnknownGuests:
    """Guests with no kernel that is known, written by a real hypervisor."""

    def test_status(self, sample: Callable[[str], Any], name: str) -> None:
        target = sample(name)
        [status] = target.run("::status")
        assert (status.kernel, status.cpus, status.pages) == (None, len(target.cpus()), len(target.pages) + (
            0 if target.image.paravirtual else 48))  # fmt: skip
        assert "not one that kdbg knows" in text_of(target, "::status")[0]
        assert status.details["xen_version"] == "4.17.7"

    def test_registers_of_each_cpu(self, sample: Callable[[str], Any], name: str) -> None:
        target = sample(name)
        for cpu in target.cpus():
            [record] = target.run(f"::cpuregs -c {cpu.id}")
            assert record.cpu == cpu.id
            assert {key: record.registers[key] for key in cpu.registers} == dict(cpu.registers)
            assert target.run(f"::cpustack -c {cpu.id}")[0].pc == cpu.registers["rip"]

    def test_code_and_memory(self, sample: Callable[[str], Any], name: str) -> None:
        target = sample(name)
        pc = target.cpus()[0].registers["rip"]
        data = target.read(pc, 4)
        assert text_of(target, f"{pc:x}/X")[0].split()[-1] == f"{int.from_bytes(data, 'little'):x}"
        physical = target.translate(pc, root=target.cpus()[0].registers["cr3"]).physical
        assert text_of(target, f"{physical:x}\\X")[0].split()[-1] == f"{int.from_bytes(data, 'little'):x}"
        assert text_of(target, f"{pc:x}::dis -n 2")[0].count("\n") >= 3
        assert text_of(target, f"{pc:x}::ptwalk")[1] == ""

    def test_a_dcmd_of_a_known_kernel_says_so(self, sample: Callable[[str], Any], name: str) -> None:
        with pytest.raises(CommandError, match="no kernel that kdbg knows"):
            sample(name).run("::evtchns")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["xen-linux-pv", "xen-linux-pvh"])
class TestRealGuests:
    """Guests whose hypervisor and kernel said what they are."""

    @pytest.fixture
    def target(self, shared_dump: Callable[[str], Path], name: str) -> Any:
        with kdbg.open(shared_dump(f"{name}.core")) as target:
            yield target

    @pytest.fixture
    def truth(self, shared: Path, name: str) -> Any:
        import json

        return json.loads((shared / "dumps" / "xen" / f"{name}.truth.json").read_text())

    def test_kernel(self, target: Any, truth: Any, name: str) -> None:
        uname = truth["guest_report"]["uname"][0]
        told = target.kernel.uname
        for field in ("sysname", "nodename", "release", "version", "machine"):
            assert told[field] in uname

    def test_symbols(self, target: Any, truth: Any, name: str) -> None:
        report = truth["guest_report"]
        for planned in report["kallsyms_sample"] + report["kallsyms_every"]:
            symbol = target.symbol(planned["name"])
            address = int(planned["address"], 16)
            if symbol.address != address:  # one of several of that name
                symbol, offset = target.symbol_at(address)
                assert offset == 0

    def test_modules(self, target: Any, truth: Any, name: str) -> None:
        planned = [line.split() for line in truth["guest_report"]["modules"]]
        assert [(m.name, m.base, m.size) for m in target.modules()] == [
            (line[0], int(line[-1], 16), int(line[1])) for line in planned
        ]

    def test_the_idle_cpu_s_stack(self, target: Any, name: str, truth: Any) -> None:
        frames = target.run("::cpustack -c 0")
        names = [frame.symbol for frame in frames]
        start = names.index("do_idle")
        assert names[start : start + 3] == ["do_idle", "cpu_startup_entry", "rest_init"]
        assert {"start_kernel"} <= set(names[start:])


def test_modules_have_no_types_where_the_image_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their BTF counts on from the image's; looking for the list of it must not look into the modules again."""
    from kdbg.kernels.linux import types
    from kdbg.symbols.btf import BtfContainer
    from kdbg.symbols.btf_write import BtfWriter
    from samples.linux import LinuxGuest

    by_form = BtfWriter(64)
    by_form.structure("task_struct", 64, [("pid", "int", 8)])
    monkeypatch.setattr(types, "_main", lambda kernel: BtfContainer(by_form.build(), kernel.bits))
    with kdbg.open(LinuxGuest(more_variables=("btf_modules",)).write(tmp_path / "guest.core")) as target:
        assert target.type("struct task_struct").member("pid").offset == 8
        assert [module.name for module in target.modules()] == ["sample_module"]
        with pytest.raises(kdbg.TypeNotFound):
            target.type("struct btf_module")


def test_a_dump_without_a_kernel_tells_whose_dcmds_there_are(tmp_path: Path) -> None:
    path = tmp_path / "other.core"
    from samples.linux import LinuxGuest

    whole = LinuxGuest().write(tmp_path / "guest.core").read_bytes()
    path.write_bytes(whole.replace(b"Linux version ", b"Other version "))
    with kdbg.open(path) as target:
        with pytest.raises(kdbg.CommandError, match="for Solaris and Linux kernels, and the dump holds no kernel"):
            target.run("::threadlist")
        with pytest.raises(kdbg.CommandError, match="it is for Linux kernels"):
            target.run("::memstat")


def test_a_dump_without_the_image_says_that_types_are_gone_with_it(tmp_path: Path) -> None:
    from kdbg.kernels.linux import types
    from samples.linux import LinuxGuest

    with kdbg.open(LinuxGuest().write(tmp_path / "guest.core")) as target:
        assert target.kernel is not None
        target.kernel.mapping.segments.clear()
        with pytest.raises(kdbg.TypeNotFound, match=types.NO_IMAGE):
            target.type("struct task_struct")
