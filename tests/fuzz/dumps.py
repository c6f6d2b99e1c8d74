"""Dumps of every format to be damaged, and what a damaged one is asked: each page, each reason, and a kernel in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.mutations import StrictSession

import kdbg
from kdbg.convert import convert
from kdbg.formats import open_image
from kdbg.formats.illumos import IllumosDump as IllumosReader
from kdbg.formats.image import PAGE, Image
from kdbg.lang.output import ListSink
from samples import illumos_dump
from samples.dump_notes import EM_AARCH64, EM_X86_64, notes, vmcoreinfo
from samples.elf_dump import ElfDump, Load
from samples.kdump import KdumpShape, flatten, split
from samples.lime import avml, lime
from samples.linux import RELEASE, LinuxGuest
from samples.solaris import SolarisDomain

INFO = {"OSRELEASE": RELEASE, "PAGESIZE": "4096", "SYMBOL(_stext)": "ffffffff81000000", "NUMBER(phys_base)": "0"}
COMMANDS = ("::status", "::msgbuf", "::modinfo", "::threadlist", "::ps", "::cpuinfo", "::cpustack", "::ptescan",
            "linux_banner/s", "::walk thread | ::findstack", "p0::ptwalk", "_text::ptwalk", "$r")  # fmt: skip
MOST_PAGES = 400


@functools.cache
def guest() -> tuple[dict[int, bytes], list[dict[str, int]]]:
    """Pages and registers of a Linux guest."""
    with TemporaryDirectory() as folder:
        image = open_image(str(LinuxGuest(with_vmcoreinfo=True).write(Path(folder) / "core")))
        return {frame: bytes(image.page(frame) or b"") for frame in image.pages}, [dict(c) for c in image.contexts]


@functools.cache
def illumos() -> illumos_dump.IllumosDump:
    """A small Solaris kernel as a native dump."""
    domain = SolarisDomain(64, paravirtual=False).process("init", 1).thread("one").message("NOTICE: sample").build()
    return illumos_dump.of_domain(domain)


def runs(pages: dict[int, bytes]) -> list[tuple[int, bytes]]:
    """(address, bytes) of runs of pages."""
    found: list[tuple[int, bytes]] = []
    for frame, data in sorted(pages.items()):
        if found and found[-1][0] + len(found[-1][1]) == frame * PAGE:
            found[-1] = found[-1][0], found[-1][1] + data
        else:
            found.append((frame * PAGE, data))
    return found


def kdump(**options: object) -> bytes:
    """The guest in makedumpfile's format."""
    pages, contexts = guest()
    told = {"notes": notes(EM_X86_64, contexts, qemu=True), "vmcoreinfo": vmcoreinfo(INFO), "exist": (0x7F00, 0x7F01)}
    return KdumpShape(**{**told, **options}).data(pages)  # type: ignore[arg-type]


def elf(**options: object) -> bytes:
    """The guest as an ELF dump, with an overlap and something excluded."""
    pages, contexts = guest()
    loads = [Load(at, data) for at, data in runs(pages)]
    loads += [Load(loads[0].address, same_as=0, virtual=1 << 47), Load(1 << 36, b"", memory=1 << 20)]
    return ElfDump(loads, notes(EM_X86_64, contexts, INFO, qemu=True), **options).data()  # type: ignore[arg-type]


def big_pages() -> bytes:
    """A dump of an arm64 kernel with pages of 64K."""
    blocks = {at: bytes([at]) * 65536 for at in range(1, 6)}
    return KdumpShape(block=65536, machine="aarch64", notes=notes(EM_AARCH64, [{"pc": 1}])).data(blocks)


KINDS: dict[str, Callable[[], bytes]] = {
    "vmcore": lambda: illumos().vmcore(),
    "vmdump": lambda: illumos().vmdump("lzjb"),
    "vmdump-lzjb": lambda: illumos().vmdump("lzjb streams"),
    "vmdump-bzip2": lambda: illumos().vmdump("bzip2 streams"),
    "kdump-zlib": kdump,
    "kdump-lzo": lambda: kdump(compression="lzo", version=5),
    "kdump-snappy": lambda: kdump(compression="snappy", bits=32, version=3),
    "kdump-zstd": lambda: kdump(compression="zstd"),
    "kdump-64k": big_pages,
    "kdump-split": lambda: split(guest()[0], [(0, 0x400), (0x400, 0x8000)])[0],
    "flattened": lambda: flatten(kdump(), seed=1),
    "flattened-elf": lambda: flatten(elf(), seed=2),
    "elf": elf,
    "elf-qemu": lambda: elf(qemu=True, unaligned=0x4A0),
    "lime": lambda: lime(runs(guest()[0])),
    "avml": lambda: avml(runs(guest()[0])),
}
"""Name -> an undamaged dump."""


def probe(path: Path, kernel: bool = False) -> int:
    """Open a dump and ask it everything; the number of pages that it gave. Only kdbg's own errors are caught."""
    try:
        image = open_image(str(path))
    except kdbg.Error as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert str(path) in said
        assert "\n" not in said
        return 0
    given = 0
    for question in questions(image, path):
        with suppress(kdbg.Error):
            given += question()
    if kernel:
        ask_kernel(path)
    return given


def questions(image: Image, path: Path) -> Iterator[Callable[[], int]]:
    """What every image is asked, each question by itself."""
    yield lambda: len(image.describe().damage) * 0
    yield lambda: _pages(image)
    yield lambda: len([dict(context) for context in image.contexts]) * 0 + len(image.vmcoreinfo) * 0
    yield lambda: _words(image)
    if isinstance(image, IllumosReader):
        yield lambda: len(image.ksyms()) * 0
        yield lambda: sum(image.frame_of(s, a) is None for s, a, _ in image.translations()[:MOST_PAGES]) * 0
        yield lambda: sum(image.frame_of(0xFFFFFFFFFBC30000, at << 12) is None for at in range(MOST_PAGES)) * 0
    yield lambda: _written(image, path)


def _pages(image: Image) -> int:
    given = 0
    for frame in [*islice(image.pages, MOST_PAGES), 0, 1 << 20, 1 << 40, (1 << 52) - 1]:
        page = image.page(frame)
        if page is None:
            assert image.why_missing(frame)
        else:
            assert len(page) == PAGE
            given += 1
    return given


def _words(image: Image) -> int:
    import numpy as np

    frames = np.array(list(islice(image.pages, 50)), np.uint64)
    image.words(frames, np.zeros(len(frames), np.uint64), 8)
    return 0


def _written(image: Image, path: Path) -> int:
    """What is left can be written, and is the same when read back."""
    out = path.with_suffix(".out")
    out.unlink(missing_ok=True)
    try:
        frames = [frame for frame in islice(image.pages, 30) if image.page(frame) is not None]
        convert(image, str(out), "vmcore" if image.native else "kdump", frames)
        again = open_image(str(out))
        assert all(bytes(again.page(frame) or b"") == bytes(image.page(frame) or b"") for frame in frames)
    finally:
        out.unlink(missing_ok=True)
    return 0


def ask_kernel(path: Path) -> None:
    """Look for a kernel and have it run commands."""
    with suppress(kdbg.Error), kdbg.open(path) as target:
        session = StrictSession(target, ListSink(), ListSink())
        for command in COMMANDS:
            session.execute(command)


__all__ = ["KINDS", "ask_kernel", "probe"]
