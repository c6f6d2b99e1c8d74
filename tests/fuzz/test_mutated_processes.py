"""Damaged cores of processes: an error of ours or a partial answer, soon and in little memory."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fuzz.mutations import StrictSession, head, mutated, watchdog
from processes import FILES, unpacked

import kdbg
from kdbg.lang.output import ListSink
from kdbg.processcore import ProcessTarget
from samples.illumos_core import IllumosCore

COMMANDS = (
    "::status", "$c", "$C", "::stackregs", "::regs", "$?", "::mappings", "::objects", "::objects -v", "::threads", "$l",
    "$L", "::threads | ::findstack", "::walk thread | ::regs", "::nm", "main::dis", "<rip::dis", "main/4X", "<rsp,8/J",
    "config::print", "::typelist", "main::whatis", "::nm -D", "0::stack", "<rbp::stack", "<rbp,4::dump",
)  # fmt: skip
SEEDS = range(50)
MORE_SEEDS = range(50, 2000)
PLACES = 200


def samples() -> dict[str, bytes]:
    found = {name: Path(unpacked(f"{name}.core")).read_bytes() for name in ("cut", "bare32", "handler", "bare-arm")}
    for bits in (64, 32):
        found[f"illumos-{bits}"] = IllumosCore(bits, handler=bits == 64).data()
    return found


WHOLE = samples()
GIVEN = {"cut": FILES["cut"], "bare-arm": FILES["bare-arm"]}


def questions(target: ProcessTarget) -> Iterator[Callable[[], object]]:
    """What every core is asked, each question by itself."""
    yield lambda: target.info
    yield lambda: [target.stack(thread) for thread in target.threads()]
    yield lambda: [target.read_some(one.base, 4096) for one in target.mappings()[:64]]
    yield lambda: [list(one.names()) for one in target.loaded.listed]
    yield lambda: list(target.type_names())
    for command in COMMANDS:
        yield lambda command=command: StrictSession(target, ListSink()).execute(command)  # type: ignore[misc]


def interrogate(path: Path, name: str) -> None:
    """Ask all questions; anything but an answer or an error of ours comes out."""
    try:
        target = kdbg.open(path, *(unpacked(file) for file in GIVEN.get(name, ())))
    except kdbg.Error:
        return
    if not isinstance(target, ProcessTarget):
        return
    with target:
        for question in questions(target):
            try:
                question()
            except kdbg.Error:
                continue


def damaged(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / "core"
    path.write_bytes(data)
    with watchdog():
        interrogate(path, name)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("seed", SEEDS)
def test_damage_gives_errors_of_ours_or_partial_answers(tmp_path: Path, name: str, seed: int) -> None:
    damaged(tmp_path, name, mutated(WHOLE[name], seed))


@pytest.mark.parametrize("name", WHOLE)
def test_damage_to_notes_and_headers_alone(tmp_path: Path, name: str) -> None:
    for seed in SEEDS:
        data = bytearray(WHOLE[name])
        head(random.Random(seed), data)
        damaged(tmp_path, name, bytes(data))


@pytest.mark.parametrize("name", WHOLE)
def test_cores_may_end_anywhere(tmp_path: Path, name: str) -> None:
    whole = WHOLE[name]
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        damaged(tmp_path, name, whole[:place])


def test_a_core_that_is_cut_says_so_and_answers_what_it_can(tmp_path: Path) -> None:
    path = tmp_path / "core"
    path.write_bytes(WHOLE["cut"][:0x6000])
    target = kdbg.open(path)
    assert isinstance(target, ProcessTarget)
    assert not target.info.complete
    assert target.info.damage[0].startswith("cut off: ")
    assert target.run("::status")[0].signal == "SIGSEGV"
    stack = target.registers()["rsp"]
    with pytest.raises(kdbg.ReadError, match="cut off: the core ends before it"):
        target.read(stack, 8)


def test_many_ranges_objects_and_threads_take_no_long_time(tmp_path: Path) -> None:
    core = IllumosCore(64).data()
    count, phoff = struct.unpack_from("<H", core, 56)[0], 64
    headers = core[phoff : phoff + 56 * count]
    text = next(headers[at : at + 56] for at in range(0, len(headers), 56) if headers[at] == 1)
    more = bytearray()
    for at in range(60000 - count):  # each an object of its own, as far as its first page tells
        more += text[:16] + struct.pack("<Q", 0x7000_0000_0000 + 0x2000 * at) + text[24:]
    data = bytearray(core + headers + bytes(more))
    struct.pack_into("<Q", data, 32, len(core))
    struct.pack_into("<H", data, 56, 60000)
    path = tmp_path / "core"
    path.write_bytes(data)
    with watchdog(10):
        target = kdbg.open(path)
        assert isinstance(target, ProcessTarget)
        assert len(target.mappings()) > 50000
        assert target.stack()
        target.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_much_more_damage(tmp_path: Path, name: str) -> None:
    whole = WHOLE[name]
    for seed in MORE_SEEDS:
        damaged(tmp_path, name, mutated(whole, seed))
    for place in range(0, len(whole), max(1, len(whole) // PLACES)):
        damaged(tmp_path, name, whole[:place])
