"""Read a dump through one reader: run by `bench.dumps` under the interpreter that has it.

    python reader.py READER DUMP FRAMES {pages|times|open}

READER: kdbg, drgn or libkdumpfile. FRAMES: a file of frame numbers, one a line. Prints one JSON object: ``pages``: a
digest of the bytes of all pages; ``times``: microseconds for a page in order and for a read of 8 bytes at random in
1 MB of pages that were read before; ``open``: seconds to open and peak memory in MB.

It imports nothing of kdbg unless kdbg is what is measured.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections.abc import Callable

PAGE = 4096
WARM_PAGES, WARM_READS = 256, 50_000
Read = Callable[[int, int], bytes]


def open_reader(name: str, path: str) -> Read:
    """(physical address, size) -> bytes."""
    if name == "kdbg":
        from kdbg.formats import open_image

        return open_image(path).read_physical
    if name == "drgn":
        import drgn

        program = drgn.Program()
        program.set_core_dump(path)
        read = program.read
        return lambda address, size: read(address, size, True)
    import kdumpfile

    dump = kdumpfile.kdumpfile(path)
    space = kdumpfile.KDUMP_MACHPHYSADDR
    return lambda address, size: bytes(dump.read(space, address, size))


def pages(read: Read, frames: list[int]) -> dict[str, object]:
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(read(frame * PAGE, PAGE))
    return {"pages": len(frames), "sha256": digest.hexdigest()}


def times(name: str, path: str, frames: list[int]) -> dict[str, object]:
    read = open_reader(name, path)
    read(frames[0] * PAGE, 8)
    start = time.perf_counter()
    for frame in frames:
        read(frame * PAGE, PAGE)
    in_order = (time.perf_counter() - start) / len(frames)
    chance = random.Random(1)
    middle = len(frames) // 2
    warm = frames[middle : middle + WARM_PAGES]
    addresses = [chance.choice(warm) * PAGE + 8 * chance.randrange(512) for _ in range(WARM_READS)]
    for frame in warm:
        read(frame * PAGE, 8)
    start = time.perf_counter()
    for address in addresses:
        read(address, 8)
    return {"in_order": 1e6 * in_order, "warm": 1e6 * (time.perf_counter() - start) / WARM_READS}


def opened(name: str, path: str, frames: list[int]) -> dict[str, object]:
    start = time.perf_counter()
    read = open_reader(name, path)
    read(frames[0] * PAGE, 8)
    read(frames[-1] * PAGE, 8)
    seconds = time.perf_counter() - start
    with open("/proc/self/status") as status:
        peak = status.read().partition("VmHWM:")[2].split()[0]
    return {"seconds": seconds, "peak": int(peak) / 1024}


def main(name: str, path: str, frames_path: str, what: str) -> None:
    with open(frames_path) as file:
        frames = [int(line) for line in file]
    if what == "pages":
        found = pages(open_reader(name, path), frames)
    else:
        found = (times if what == "times" else opened)(name, path, frames)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
