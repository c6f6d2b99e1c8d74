"""Dumps of every format to be damaged, and what a damaged one is asked: each page, each reason, and a kernel in it."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.mutations import StrictSession
from processes import unpacked

import kdbg
from kdbg.convert import convert, natural_format
from kdbg.formats import open_file, open_image
from kdbg.formats.compression import zstd_module
from kdbg.formats.illumos import IllumosDump as IllumosReader
from kdbg.formats.image import PAGE, Image
from kdbg.formats.process_core import ProcessCore
from kdbg.formats.xen import XenImage
from kdbg.lang.output import ListSink
from samples import illumos_dump
from samples.dump_notes import EM_386, EM_AARCH64, EM_X86_64, notes, vmcoreinfo
from samples.elf_dump import ElfDump, Load
from samples.illumos_core import IllumosCore
from samples.kdump import KdumpShape, flatten, split
from samples.lime import avml, lime
from samples.linux import RELEASE, LinuxGuest
from samples.solaris import SolarisDomain
from samples.xen_core import Core, context, write_elf, write_xc_core
from samples.xen_host import XenHost
from samples.xpv_dump import XpvDump

INFO = {"OSRELEASE": RELEASE, "PAGESIZE": "4096", "SYMBOL(_stext)": "ffffffff81000000", "NUMBER(phys_base)": "0"}
COMMANDS = ("::status", "::msgbuf", "::modinfo", "::threadlist", "::ps", "::cpuinfo", "::cpustack", "::ptescan",
            "linux_banner/s", "::walk thread | ::findstack", "p0::ptwalk", "_text::ptwalk", "$r")  # fmt: skip
MOST_PAGES = 400


@dataclass(frozen=True)
class Machine:
    """What dumps are made of: pages and registers of a Linux guest, and a Solaris kernel."""

    pages: Mapping[int, bytes]
    contexts: Sequence[dict[str, int]]
    illumos: illumos_dump.IllumosDump

    def kdump(self, **options: object) -> bytes:
        """The guest in makedumpfile's format."""
        told = {"notes": notes(EM_X86_64, self.contexts, qemu=True), "vmcoreinfo": vmcoreinfo(INFO)}
        shape = {**told, "exist": (0x7F00, 0x7F01), "erase_info": b"erase secret 8\n", **options}
        return KdumpShape(**shape).data(self.pages)  # type: ignore[arg-type]

    def elf(self, **options: object) -> bytes:
        """The guest as an ELF dump, with an overlap and something excluded."""
        loads = [Load(at, data) for at, data in runs(self.pages)]
        loads += [Load(loads[0].address, same_as=0, virtual=1 << 47), Load(1 << 36, b"", memory=1 << 20)]
        return ElfDump(loads, notes(EM_X86_64, self.contexts, INFO, qemu=True), **options).data()  # type: ignore[arg-type]

    def xen(self, write: Callable[[Path, Core], Path], paravirtual: bool) -> bytes:
        """The guest as a core of a Xen domain."""
        registers = {"rip": 0xFFFFFFFF81000000, "cr0": 0x80050033, "cr3": 0x1000, "cr4": 0x20}
        frames = [(frame, frame + 7) for frame in sorted(self.pages)]
        core = Core([context(registers)], frames, self.pages, paravirtual, shared_info=bytes(PAGE))
        with TemporaryDirectory() as folder:
            return write(Path(folder) / "core", core).read_bytes()


@functools.cache
def whole() -> Machine:
    """Two kernels as they are."""
    with TemporaryDirectory() as folder:
        image = open_image(str(LinuxGuest(with_vmcoreinfo=True).write(Path(folder) / "core")))
        pages = {frame: bytes(image.page(frame) or b"") for frame in image.pages}
        domain = SolarisDomain(64, paravirtual=False).process("init", 1).thread("one").message("NOTICE: sample")
        return Machine(pages, [dict(c) for c in image.contexts], illumos_dump.of_domain(domain.build()))


@functools.cache
def small() -> Machine:
    """A few pages, so that nearly all of a dump is its headers: what parsers are fuzzed with."""
    pages = {1: bytes(range(256)) * 16, 2: bytes(PAGE), 3: b"kdbg" * 1024, 0x40: b"\x67\x10" * 2048}
    rows = [(0xFFFFFFFFFBC30000, at << 12, frame) for at, frame in enumerate(pages)]
    registers = [{"rip": 0xFFFFFFFF81000000, "cr0": 0x80050033, "cr3": 0x1000, "cr4": 0x20}]
    return Machine(pages, registers, illumos_dump.IllumosDump(pages, rows, b"\x7fELF" + b"names" * 50))


def runs(pages: Mapping[int, bytes]) -> list[tuple[int, bytes]]:
    """(address, bytes) of runs of pages."""
    found: list[tuple[int, bytes]] = []
    for frame, data in sorted(pages.items()):
        if found and found[-1][0] + len(found[-1][1]) == frame * PAGE:
            found[-1] = found[-1][0], found[-1][1] + data
        else:
            found.append((frame * PAGE, data))
    return found


def big_pages(machine: Machine) -> bytes:
    """A dump of an arm64 kernel with pages of 64K."""
    blocks = {at: bytes([at]) * 65536 for at in range(1, min(6, len(machine.pages)))}
    return KdumpShape(block=65536, machine="aarch64", notes=notes(EM_AARCH64, [{"pc": 1}])).data(blocks)


def incomplete(machine: Machine) -> bytes:
    """A dump whose writer did not get to the end: its last descriptors are empty."""
    data = bytearray(machine.kdump(status=8))
    blocks, sub = (int.from_bytes(data[at : at + 4], "little") for at in (0x1B4, 0x1B0))
    at = (1 + sub + blocks) * PAGE + 24 * (len(machine.pages) - 2)
    data[at : at + 48] = bytes(48)
    return bytes(data)


def written(plan: XenHost | XpvDump) -> bytes:
    """A planned dump as a file's bytes."""
    with TemporaryDirectory() as folder:
        return plan.write(Path(folder) / "dump").read_bytes()


def zstd(data: bytes) -> bytes:
    """Bytes through zstd."""
    return bytes(zstd_module().compress(data))


KINDS: dict[str, Callable[[Machine], bytes]] = {
    "vmcore": lambda m: m.illumos.vmcore(),
    "vmdump": lambda m: m.illumos.vmdump("lzjb"),
    "vmdump-lzjb": lambda m: m.illumos.vmdump("lzjb streams"),
    "vmdump-bzip2": lambda m: m.illumos.vmdump("bzip2 streams"),
    "kdump-zlib": lambda m: m.kdump(),
    "kdump-lzo": lambda m: m.kdump(compression="lzo", version=5),
    "kdump-snappy": lambda m: m.kdump(compression="snappy", bits=32, version=3),
    "kdump-zstd": lambda m: m.kdump(compression="zstd"),
    "kdump-raw": lambda m: m.kdump(compression="raw", version=2),
    "kdump-incomplete": incomplete,
    "kdump-64k": big_pages,
    "kdump-split": lambda m: split(m.pages, [(0, max(m.pages)), (max(m.pages), 0x8000)])[0],
    "flattened": lambda m: flatten(m.kdump(), seed=1),
    "flattened-elf": lambda m: flatten(m.elf(), seed=2),
    "elf": lambda m: m.elf(),
    "elf-qemu": lambda m: m.elf(qemu=True, unaligned=0x4A0),
    "elf-32": lambda m: ElfDump([Load(PAGE, bytes(PAGE))], notes(EM_386, [{"eip": 1}], INFO), EM_386, 32).data(),
    "elf-many": lambda m: m.elf(many=True),
    "lime": lambda m: lime(runs(m.pages)),
    "avml": lambda m: avml(runs(m.pages)),
    "xc_core": lambda m: m.xen(write_xc_core, paravirtual=True),
    "xc_core-mfn": lambda m: m.xen(lambda path, core: write_xc_core(path, core, "mfn"), paravirtual=True),
    "xen-elf": lambda m: m.xen(write_elf, paravirtual=True),
    "xen-elf-hvm": lambda m: m.xen(write_elf, paravirtual=False),
    "xen-host": lambda _: written(XenHost()),
    "xen-host-qemu": lambda _: written(XenHost(qemu=True)),
    "vmcore-xvm": lambda _: written(XpvDump()),
    "process-linux": lambda m: Path(unpacked("bare32.core")).read_bytes(),
    "process-illumos": lambda m: IllumosCore(64, handler=True).data(),
    "gzip": lambda m: gzip.compress(m.elf(), 1, mtime=0),
    "bzip2": lambda m: bz2.compress(m.kdump(compression="raw")),
    "xz": lambda m: lzma.compress(m.illumos.vmcore(), preset=0),
    "zstd": lambda m: zstd(lime(runs(m.pages))),
}
"""Name -> what makes an undamaged dump."""


def probe(path: Path, kernel: bool = False) -> int:
    """Open a dump and ask it everything; the number of pages that it gave. Only kdbg's own errors are caught."""
    try:
        image = open_file(str(path))
    except kdbg.Error as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert str(path) in said
        assert "\n" not in said
        return 0
    given = 0
    for question in questions(image, path) if isinstance(image, Image) else process_questions(image):
        with suppress(kdbg.Error):
            given += question()
    if kernel:
        ask_kernel(path)
    return given


def process_questions(core: ProcessCore) -> Iterator[Callable[[], int]]:
    """What every core of a process is asked, each question by itself; what it holds is counted in pages."""
    yield lambda: len(core.describe().damage) * 0
    yield lambda: sum(len(core.held(one.address, PAGE)) > 0 for one in core.regions[:MOST_PAGES])
    yield lambda: sum(core.region(one.end) is None for one in core.regions[:MOST_PAGES]) * 0
    yield lambda: sum(len(core.content(one)) for one, _ in core.sections()[:MOST_PAGES]) * 0


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
        page = image.page_of_pfn(frame)
        if page is None:
            assert image.why_pfn_missing(frame)
        else:
            assert len(page) == PAGE
            given += 1
    if isinstance(image, XenImage) and image.frames is not None:  # which need not have the numbers of the guest
        for frame in islice(image.frames.words, MOST_PAGES):
            given += image.page(frame) is not None or not image.why_missing(frame)
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
        convert(image, str(out), natural_format(image), frames)
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


__all__ = ["KINDS", "Machine", "ask_kernel", "probe", "small", "whole"]
