"""What kdbg writes: kdbg convert and kdbg slim, read back equal; and the commands, as a person calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from formats.dumps import PAGE, holds, opened, page, pages
from hypothesis import given, settings
from hypothesis import strategies as st

import kdbg
from kdbg.convert import WRITERS, convert, natural_format
from kdbg.formats import open_image
from kdbg.formats.image import Image
from kdbg.repl import tools
from samples import illumos_dump
from samples.dump_notes import EM_386, EM_AARCH64, EM_X86_64, notes, vmcoreinfo
from samples.elf_dump import ElfDump, Load
from samples.illumos_dump import IllumosDump
from samples.kdump import KdumpShape
from samples.lime import lime
from samples.linux import LinuxGuest
from samples.solaris import standard

INFO = {"OSRELEASE": "6.1.0-sample", "PAGESIZE": "4096", "CRASHTIME": "1700000000", "NUMBER(phys_base)": "-4096"}
CPUS = [{"rip": 0xFFFFFFFF81000000 + at, "rsp": 0xFFFFC90000000000, "cr0": 0x80050033, "cr3": 0x1000, "cr4": 0x20,
         "gs_base": 0xFFFF888000000000} for at in range(3)]  # fmt: skip
PAGES = pages(*range(0x10, 0x20), 0x400, 0x8001, 0x12345, zeros=(0x11, 0x500))


def source(folder: Path, machine: int = EM_X86_64) -> Image:
    """A dump with something of everything."""
    told = notes(
        machine, CPUS if machine == EM_X86_64 else [{"pc": 1, "eip": 1, "x3": 7, "ebx": 7}], INFO, machine != EM_AARCH64
    )
    loads = [Load(frame * PAGE, data) for frame, data in PAGES.items()]
    return opened(folder / "source", ElfDump(loads, told, machine).data())


@pytest.mark.parametrize("form", ["elf", "kdump", "kdump-zstd"])
@pytest.mark.parametrize("machine", [EM_X86_64, EM_386, EM_AARCH64])
def test_a_linux_dump_in_another_format_is_the_same(tmp_path: Path, form: str, machine: int) -> None:
    before = source(tmp_path, machine)
    out = tmp_path / "out"
    assert convert(before, str(out), form) == len(PAGES)
    after = open_image(str(out))
    holds(after, PAGES)
    assert dict(after.vmcoreinfo) == INFO
    assert (after.architecture, after.bits) == (before.architecture, before.bits)
    for one, other in zip(before.contexts, after.contexts, strict=True):
        assert {name: other[name] for name in one} == dict(one)
    assert after.describe().complete


def test_there_and_back_again(tmp_path: Path) -> None:
    """Through every format in turn nothing is lost."""
    image = source(tmp_path)
    for number, form in enumerate(("kdump", "elf", "kdump-zstd", "kdump", "elf")):
        out = str(tmp_path / str(number))
        convert(image, out, form)
        image = open_image(out)
    holds(image, PAGES)
    assert dict(image.vmcoreinfo) == INFO
    assert [cpu["cr3"] for cpu in image.contexts] == [0x1000] * 3


@pytest.mark.parametrize("form", ["elf", "kdump", "xen-elf"])
def test_only_the_frames_that_are_asked_for(tmp_path: Path, form: str) -> None:
    out = str(tmp_path / "out")
    assert convert(source(tmp_path), out, form, [0x11, 0x400, 0x401]) == 2
    holds(open_image(out), {frame: PAGES[frame] for frame in (0x11, 0x400)})


@pytest.mark.parametrize("form", ["vmcore", "lzjb", "lzjb streams", "bzip2 streams"])
@pytest.mark.parametrize("bits", [64, 32])
def test_an_illumos_dump_as_savecore_would_write_it(tmp_path: Path, form: str, bits: int) -> None:
    rows = [(0xFBC30000, at << 12, frame) for at, frame in enumerate(PAGES)]
    dump = IllumosDump(PAGES, rows, b"\x7fELF" + b"names" * 500, bits, uuid="abc", panic="panic of the test")
    before = opened(tmp_path / "before", dump.vmcore() if form == "vmcore" else dump.vmdump(form))
    convert(before, str(tmp_path / "after"), "vmcore")
    after = open_image(str(tmp_path / "after"))
    holds(after, PAGES)
    assert sorted(after.translations()) == sorted(rows)  # type: ignore[attr-defined]
    assert all(after.frame_of(space, address) == frame for space, address, frame in rows)  # type: ignore[attr-defined]
    assert after.ksyms() == dump.ksyms  # type: ignore[attr-defined]
    one, other = before.describe(), after.describe()
    assert (one.host, one.time, one.details["panic"], one.details["uuid"]) == (
        other.host, other.time, other.details["panic"], other.details["uuid"],
    )  # fmt: skip


@pytest.mark.parametrize("paravirtual", [True, False])
def test_a_xen_core_keeps_its_frames_and_contexts(tmp_path: Path, paravirtual: bool) -> None:
    core = standard(64, paravirtual).build().write(tmp_path, "elf")
    before = open_image(str(core))
    convert(before, str(tmp_path / "after"), natural_format(before))
    after = open_image(str(tmp_path / "after"))
    assert list(after.pages) == list(before.pages)
    for pfn in before.pages:
        assert bytes(after.page_of_pfn(pfn) or b"") == bytes(before.page_of_pfn(pfn) or b"")
        assert after.pfn_to_mfn(pfn) == before.pfn_to_mfn(pfn)
    assert [dict(c) for c in after.contexts] == [dict(c) for c in before.contexts]


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    paravirtual = open_image(str(standard(64).build().write(tmp_path, "elf")))
    for form in ("elf", "kdump"):
        with pytest.raises(kdbg.FormatError, match="xen-elf"):
            convert(paravirtual, str(tmp_path / "out"), form)
    with pytest.raises(kdbg.FormatError, match="native illumos dump"):
        convert(source(tmp_path), str(tmp_path / "out"), "vmcore")
    (tmp_path / "arm").mkdir()
    with pytest.raises(kdbg.FormatError, match="of arm64: write elf"):
        convert(source(tmp_path / "arm", EM_AARCH64), str(tmp_path / "out"), "xen-elf")
    with pytest.raises(kdbg.Error, match="not written"):
        convert(source(tmp_path), str(tmp_path / "out"), "lkcd")
    far = opened(tmp_path / "far", lime([(1 << 63, page(1))]))
    with pytest.raises(kdbg.FormatError, match="beyond"):
        convert(far, str(tmp_path / "out"), "kdump")
    assert not (tmp_path / "out").exists()


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(kdbg.FormatError, match="exists already"):
        convert(source(tmp_path), str(tmp_path / "out"), "elf")
    assert (tmp_path / "out").read_text() == "precious"
    assert not list(tmp_path.glob("*.growing"))


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.integers(0, 1 << 22), min_size=1, max_size=12),
    st.sampled_from(["elf", "kdump", "kdump-zstd", "xen-elf"]),
)
def test_any_memory_is_read_back(tmp_path_factory: pytest.TempPathFactory, frames: set[int], form: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    held = {frame: page(frame) if frame % 3 else bytes(PAGE) for frame in frames}
    before = opened(folder / "before", KdumpShape(vmcoreinfo=vmcoreinfo(INFO)).data(held))
    assert convert(before, str(folder / "after"), form) == len(held)
    holds(open_image(str(folder / "after")), held)


# --- slim -----------------------------------------------------------------------------------------------------------


def answers(path: Path, commands: list[str]) -> list[str]:
    """What commands print; the file's name, which differs, left out."""
    found = []
    for command in commands:
        done = run("-e", command, str(path))
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.replace(path.name, "DUMP"))
    return found


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """The program."""
    return subprocess.run([sys.executable, "-m", "kdbg.cli", *words], capture_output=True, text=True, check=False)


COMMANDS = {
    "solaris": ["::threadlist", "::ps", "::msgbuf", "utsname/s", "::walk thread | ::findstack"],
    "linux": ["linux_banner/s", "::cpustack -c 0", "::modinfo"],
}


def whole(folder: Path, kind: str) -> Path:
    """A dump of a whole kernel."""
    if kind == "linux":
        return LinuxGuest(with_vmcoreinfo=True).write(folder / "whole")
    domain = standard(64, kind == "xen").build()
    if kind == "xen":
        return domain.write(folder, "xc_core", name="whole")
    return illumos_dump.of_domain(domain).write(folder / "whole", "lzjb streams" if kind == "vmdump" else None)


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("kind", ["xen", "vmcore", "vmdump", "linux"])
def test_a_slim_dump_answers_the_commands_given_alike(tmp_path: Path, kind: str, bare: bool) -> None:
    path, out = whole(tmp_path, kind), tmp_path / "slim"
    commands = COMMANDS["linux" if kind == "linux" else "solaris"]
    words = [word for command in commands for word in ("--cmd", command)] + ["--bare"] * bare
    done = run("slim", str(path), "-o", str(out), *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(open_image(str(out)).pages) < len(open_image(str(path)).pages)
    assert answers(out, commands) == answers(path, commands)


def test_a_slim_dump_has_all_names(tmp_path: Path) -> None:
    """Without --bare other commands find symbols and types too."""
    path, out = whole(tmp_path, "xen"), tmp_path / "slim"
    run("slim", str(path), "-o", str(out), "--cmd", "::ps")
    assert answers(out, ["::nm ! sort | tail -3", "::sizeof kmutex_t"]) == answers(
        path, ["::nm ! sort | tail -3", "::sizeof kmutex_t"]
    )


# --- the commands ---------------------------------------------------------------------------------------------------


def test_info_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dump"
    path.write_bytes(KdumpShape(exist=(7,), notes=notes(EM_X86_64, CPUS)).data(PAGES))
    assert tools.run("info", [str(path)]) == 0
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert {name: value.strip() for name, value in told.items()} == {
        "file": str(path),
        "format": "makedumpfile dump (KDUMP)",
        "architecture": "x86-64",
        "bits": "64",
        "paravirtual": "no",
        "memory size": f"{4096 * (len(PAGES) + 1)} (0.1 MiB)",
        "pages": str(len(PAGES)),
        "missing": "1",
        "missing why excluded": "1",
        "cpus": "3",
        "complete": "yes",
        "host": "sample-host",
        "time": "2023-11-14 22:13:20 UTC",
        "details header version": "6",
        "details compression": "zlib",
        "details dump level": "31",
        "details split": "no",
        "details erase info": "no",
    }


def test_info_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dump"
    path.write_bytes(IllumosDump(PAGES, panic="why").vmdump("bzip2 streams"))
    assert tools.run("info", ["--format", "json", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pages"], told["complete"], told["details"]["panic"]) == (len(PAGES), True, "why")
    assert told["details"]["compression"] == "bzip2 streams"


def test_info_of_many_files_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one").write_bytes(KdumpShape().data(PAGES))
    (tmp_path / "text").write_text("just some words\n" * 100)
    files = [str(tmp_path / name) for name in ("text", "none", "one")]
    assert tools.run("info", files) == 1
    told = capsys.readouterr()
    assert "makedumpfile" in told.out
    assert "it looks like text" in told.err
    assert str(tmp_path / "none") in told.err


@pytest.mark.parametrize("mode", sorted(tools.MODES))
def test_help_is_no_error_and_fits_the_window(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.run(mode, ["--help"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"Usage: kdbg {mode} ")
    assert not told.err
    assert max(map(len, told.out.splitlines())) <= 80


def test_help_names_every_format_that_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    tools.run("convert", ["--help"])
    told = capsys.readouterr().out
    assert [name for name in WRITERS if name not in told] == []


@pytest.mark.parametrize("words", [["slim", "dump"], ["convert", "dump", "-o", "x"], ["info"], ["info", "--what", "x"]])
def test_wrong_usage_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.run(words[0], words[1:]) == 2
    assert "Usage: kdbg " + words[0] in capsys.readouterr().err


def test_convert_by_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dump").write_bytes(KdumpShape("lzo").data(PAGES))
    out = tmp_path / "out"
    assert tools.run("convert", [str(tmp_path / "dump"), "-o", str(out), "--format", "elf"]) == 0
    assert f"{len(PAGES)} pages, {out.stat().st_size} bytes" in capsys.readouterr().out
    holds(open_image(str(out)), PAGES)
    assert sorted(WRITERS) == ["avml", "elf", "kdump", "kdump-zstd", "lime", "raw", "vmcore", "xen-elf"]
