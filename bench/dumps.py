"""Read dumps beside libkdumpfile and drgn, in one run.

    python -m bench.dumps [--dump DUMP] [--rounds N] [PYTHON ...]

PYTHON: interpreters that have ``drgn`` or ``kdumpfile`` (Debian: python3-libkdumpfile; drgn: from PyPI); the running
one and the system's ``python3`` are asked too. What is installed nowhere is left out with a word. The readers take
turns, each in a process of its own; medians count. ``--dump`` names a dump to measure; without one a Linux dump is
built whose pages are those of Python's own files, a fifth of them zeros.

Every format that ``kdbg convert`` writes is opened by each reader first, and the digests of all its pages compared.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.__main__ import line
from bench.builders import GIGABYTE, MEGABYTE
from kdbg.convert import convert
from kdbg.formats import open_image
from kdbg.formats.image import PAGE, Image, PageMap
from kdbg.formats.lzjb import decompress, decompress_pure
from kdbg.formats.source import Source
from kdbg.records import Info
from samples.illumos_dump import lzjb_page

READERS = {"libkdumpfile": "kdumpfile", "drgn": "drgn"}
FORMATS = ("elf", "kdump", "kdump-zstd", "xen-elf")
ROUNDS = 5
SYMBOLS = ("swapper_pg_dir", "_stext", "node_online_map", "init_uts_ns")


class BuiltImage(Image):
    """A Linux machine's memory: pages of Python's own files."""

    format = "built"

    def __init__(self, size: int) -> None:
        super().__init__(Source.of_bytes("built", b""))
        self.architecture = "x86-64"
        self.vmcoreinfo = {"OSRELEASE": "6.1.0", "PAGESIZE": "4096", "NUMBER(phys_base)": "0", "KERNELOFFSET": "0"}
        self.vmcoreinfo |= {f"SYMBOL({name})": f"ffffffff81{at:02x}0000" for at, name in enumerate(SYMBOLS)}
        self._data = b"".join(_files(size * 4 // 5))
        held = len(self._data) // PAGE
        whole = [256 + 5 * (number // 4) + number % 4 for number in range(held)]
        self._frames = np.array(whole + [260 + 5 * number for number in range(held // 4)])
        self._places = {int(frame): place for place, frame in enumerate(self._frames)}

    @property
    def contexts(self) -> Sequence[Mapping[str, int]]:
        """One CPU's registers."""
        return ({"rip": 0xFFFFFFFF81001000, "rsp": 0xFFFFC90000001000},)

    @property
    def pages(self) -> PageMap:
        """Frames from 256 on: four with data, then one of zeros."""
        return PageMap(np.sort(self._frames).astype(np.uint64))

    def page(self, frame: int) -> memoryview | None:
        """A page of the files, or of zeros."""
        place = self._places.get(frame)
        if place is None:
            return None
        return memoryview(self._data[place * PAGE : (place + 1) * PAGE].ljust(PAGE, b"\0"))

    def describe(self) -> Info:
        """Little."""
        return Info("built", self.format, self.architecture, self.bits)


def _files(size: int) -> Iterator[bytes]:
    """Whole pages of Python's own files, that many bytes at most."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.glob("*.py")) + sorted(root.glob("*/*.so")) + sorted(root.glob("*/*.py")):
        data = path.read_bytes()[:size]
        data += bytes(-len(data) % PAGE)
        size -= len(data)
        yield data
        if size <= 0:
            return


def kdump_100gb(folder: Path, size: int = 100 * GIGABYTE) -> Path:
    """A KDUMP that holds every page of so much memory: all but the first share one page; most of the file is a hole.

    The descriptors of all pages are there, 24 bytes each: those of the first and the last MB are filled in, and the
    others lie in the hole, where no reader comes that reads what it is asked for.
    """
    count = size // PAGE
    path = folder / f"kdump-{size // GIGABYTE}gb"
    small = folder / "kdump-head"
    image = BuiltImage(MEGABYTE)
    convert(image, str(small), "kdump")
    head = bytearray(small.read_bytes()[: 2 * PAGE])
    bitmap_blocks = -(-count // (8 * PAGE))
    struct.pack_into("<II", head, 0x1A8 + 12, 2 * bitmap_blocks, count)
    struct.pack_into("<Q", head, PAGE + 96, count)
    bits = np.packbits(np.ones(count, np.uint8), bitorder="little").tobytes().ljust(bitmap_blocks * PAGE, b"\0")
    descriptors_at = (2 + 2 * bitmap_blocks) * PAGE
    data_at = descriptors_at + 24 * count
    one = struct.pack("<QIIQ", data_at, PAGE, 0, 0) * (MEGABYTE // PAGE)
    with path.open("wb") as file:
        file.write(bytes(head) + bits + bits + one)
        file.seek(data_at - len(one))
        file.write(one + b"kdbg" * (PAGE // 4))
    small.unlink()
    return path


def find_readers(pythons: Sequence[str]) -> dict[str, str]:
    """Name of a reader -> the interpreter that has it."""
    system = shutil.which("python3", path=os.defpath)
    found = {"kdbg": sys.executable}
    for name, module in READERS.items():
        for python in (*pythons, sys.executable, *([system] if system else [])):
            asked = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
            if not asked.returncode:
                found[name] = python
                break
        else:
            print(f"{name} is not installed: left out")
    return found


def run(readers: Mapping[str, str], name: str, dump: Path, frames: Path, what: str) -> dict[str, float | str]:
    """What the reader prints; ``error`` where it refuses the dump."""
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)} if name == "kdbg" else dict(os.environ)
    words = [readers[name], str(root / "bench" / "reader.py"), name, str(dump), str(frames), what]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=frames.parent)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["failed"])[-1][:110]}
    found: dict[str, float | str] = json.loads(done.stdout)
    return found


def same_bytes(readers: Mapping[str, str], dumps: Mapping[str, Path], frames: Path) -> None:
    """Whether each reader finds the same bytes in each dump that was written."""
    for kind, dump in dumps.items():
        for name in readers:
            if kind == "xen-elf" and name == "drgn":
                line(f"convert to {kind}, read by {name}", "a format that it does not read")
            elif name != "kdbg":
                line(f"convert to {kind}, read by {name}", compare(readers, name, dump, frames))


def compare(readers: Mapping[str, str], name: str, dump: Path, frames: Path) -> str:
    """Whether a reader finds the bytes that kdbg finds, in words."""
    ours, theirs = (run(readers, one, dump, frames, "pages") for one in ("kdbg", name))
    return "the same bytes" if theirs == ours else str(theirs.get("error", "OTHER BYTES"))


def side_by_side(readers: Mapping[str, str], dump: Path, frames: Path, kind: str, rounds: int) -> None:
    """Pages in order and warm reads, the readers in turns."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name in readers:
            one = run(readers, name, dump, frames, "times")
            if "error" not in one:
                found[name].append(one)  # type: ignore[arg-type]
    goals = (
        {("in_order", "libkdumpfile"): "at least 1, goal 1.5", ("warm", "drgn"): "at least 1"} if kind != "elf" else {}
    )
    for what in ("in_order", "warm"):
        medians = {name: statistics.median(one[what] for one in each) for name, each in found.items() if each}
        for name, median in medians.items():
            rate = f", {PAGE / median:.0f} MB/s" if what == "in_order" else ""
            title = f"{kind}: {'page in order' if what == 'in_order' else '8 bytes, warm'}, {name}"
            ratio = (
                ""
                if name == "kdbg"
                else f"kdbg {median / medians['kdbg']:.2f} x as fast   {goals.get((what, name), '')}"
            )
            line(title, f"{median:.2f} us{rate}", ratio)


def opening(readers: Mapping[str, str], folder: Path, rounds: int) -> None:
    """Opening 100 GB and reading its first and last page."""
    dump, frames = kdump_100gb(folder), folder / "first-and-last"
    frames.write_text(f"0\n{100 * GIGABYTE // PAGE - 1}\n")
    for name in readers:
        each = [run(readers, name, dump, frames, "open") for _ in range(rounds)]
        if "error" in each[0]:
            line(f"KDUMP of 100 GB opened by {name}", str(each[0]["error"]))
            continue
        seconds = statistics.median(float(one["seconds"]) for one in each)
        peak = statistics.median(float(one["peak"]) for one in each)
        line(f"KDUMP of 100 GB opened, first and last page, {name}", f"{seconds:.3f} s, {peak:.0f} MB", "0.3 s, 100 MB")
    words = [sys.executable, "-m", "kdbg.cli", "info", str(dump)]
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
        spent.append(time.perf_counter() - start)
    line("the same: kdbg info, whole process", f"{statistics.median(spent):.3f} s")


def lzjb(image: Image) -> None:
    """Both twins on pages of the dump."""
    packed = [lzjb_page(image.page(frame) or b"") for frame in list(image.pages)[:1000]]
    packed = [data for data in packed if len(data) < PAGE]
    for what, twin in (("compiled", decompress), ("pure", decompress_pure)):
        if what == "compiled" and twin is decompress_pure:
            print("lzjb: kdbg was installed without its compiled part: left out")
            continue
        shortest = float("inf")
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for data in packed:
                twin(data, PAGE)
            shortest = min(shortest, time.perf_counter() - start)
        line(f"lzjb, {what}", f"{len(packed) * PAGE / shortest / 1e6:.0f} MB/s", "200 MB/s")


def main(words: list[str]) -> int:
    given = words.pop(words.index("--dump") + 1) if "--dump" in words else None
    rounds = int(words.pop(words.index("--rounds") + 1)) if "--rounds" in words else ROUNDS
    readers = find_readers([word for word in words if not word.startswith("-")])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        image = open_image(given) if given else BuiltImage(32 * MEGABYTE)
        frames = folder / "frames"
        frames.write_text("".join(f"{frame}\n" for frame in image.pages))
        dumps = {kind: folder / f"dump.{kind}" for kind in FORMATS}
        for kind, path in dumps.items():
            convert(image, str(path), kind)
        lzjb(image)
        same_bytes(readers, dumps, frames)
        for kind in ("kdump", "kdump-zstd", "elf"):
            side_by_side(readers, dumps[kind], frames, kind, rounds)
        opening(readers, folder, rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
