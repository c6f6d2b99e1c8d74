"""Dumps to measure on: a domain of 100 MB, one with 5,000 threads, and sparse cores of any size.

    python -m bench.builders FOLDER                 # all of them
    python -m bench.builders FOLDER domain threads sparse-0.1 sparse-1 sparse-10

All are built in seconds. A sparse core is an HVM domain whose frame table names every page of its memory while the file
holds only the kernel's; the rest are holes, so that 10 GB take no room on a disk.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from samples.memory import PAGE
from samples.solaris import Domain, SolarisDomain, standard
from samples.xen_core import Core, ElfShape, write_elf

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30


def domain_100mb(folder: Path, format: str = "elf") -> Path:  # noqa: A002
    """A 64-bit paravirtual domain of 100 MB: most of its pages belong to one large process."""
    size = 100 * MEGABYTE // PAGE
    pages = {0x10000000 + number * PAGE: number.to_bytes(8, "little") for number in range(size - 400)}
    domain = standard().process("large", 4242, pages=pages).thread("large", "large")
    return domain.write(folder, format, name="domain-100mb")


def threads(folder: Path, count: int = 5000) -> Path:
    """A domain with so many threads, in a dozen kinds of stack."""
    domain = SolarisDomain(cpus=4)
    ways = [f"way{number}" for number in range(12)]
    for way in ways:
        domain.function(way, arguments=2)
    for number in range(count):
        way = ways[number % len(ways)]
        stack = (
            ("_resume_from_idle", ()),
            ("swtch", ()),
            ("cv_wait", (number, number * 16)),
            (way, (number, 0)),
            ("thread_start", ()),
        )
        domain.thread(f"t{number}", stack=stack, stack_size=PAGE)
    return domain.write(folder, "elf", name=f"threads-{count}")


def sparse(folder: Path, size: int, base: Domain | None = None) -> Path:
    """An HVM core whose guest has ``size`` bytes of memory; nearly all of the file is one hole."""
    built = base or standard(64, False).build()
    frames = built.image.frames
    count = size // PAGE
    core = Core(
        built.contexts(), [], frames.pages, paravirtual=False, shared_info=built.shared,
    )  # fmt: skip
    path = folder / f"sparse-{size / GIGABYTE:g}gb"
    # an empty core gives the sections; table and pages are laid out here: a list of millions of pairs is slow
    write_elf(path, core, ElfShape(frames_first=True))
    return _enlarge(path, frames.pages, count)


def _enlarge(path: Path, pages: dict[int, bytearray], count: int) -> Path:
    """Give an ELF core without pages a frame table 0 .. count - 1, and the pages that there are."""
    data = bytearray(path.read_bytes())
    sections = np.frombuffer(data, dtype=np.dtype([("name", "<u4"), ("type", "<u4"), ("rest", "<u8", (7,))]), offset=64,
                             count=int.from_bytes(data[60:62], "little"))  # fmt: skip
    strings = int(sections[int.from_bytes(data[62:64], "little")]["rest"][2])
    header = {}
    for number, section in enumerate(sections):
        start = strings + int(section["name"])
        header[data[start : data.index(b"\0", start)].decode()] = 64 + 64 * number
    table_at = -(-len(data) // 8) * 8
    pages_at = -(-(table_at + 8 * count) // PAGE) * PAGE
    for name, at, size in ((".xen_pfn", table_at, 8 * count), (".xen_pages", pages_at, PAGE * count)):
        place = header[name]
        data[place + 24 : place + 40] = at.to_bytes(8, "little") + size.to_bytes(8, "little")
    note = data.index((0xF00FEBEE).to_bytes(8, "little"))  # magic, contexts, pages, page size
    data[note + 16 : note + 24] = count.to_bytes(8, "little")
    with path.open("wb") as file:
        file.write(data)
        file.seek(table_at)
        file.write(np.arange(count, dtype="<u8").tobytes())
        for pfn, page in pages.items():
            file.seek(pages_at + pfn * PAGE)
            file.write(page)
        file.truncate(pages_at + count * PAGE)
    return path


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "domain": domain_100mb,
    "threads": threads,
    "sparse-0.1": lambda folder: sparse(folder, GIGABYTE // 10),
    "sparse-1": lambda folder: sparse(folder, GIGABYTE),
    "sparse-10": lambda folder: sparse(folder, 10 * GIGABYTE),
}


def main(arguments: list[str]) -> int:
    if not arguments:
        print(f"usage: python -m bench.builders FOLDER [{' '.join(BUILDERS)}]", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:] or BUILDERS:
        start = time.perf_counter()
        path = BUILDERS[name](folder)
        print(f"{path}  {path.stat().st_size / MEGABYTE:.0f} MB  {time.perf_counter() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
