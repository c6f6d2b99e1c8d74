"""Where functions keep their arguments: by their first instructions."""

from __future__ import annotations

import pytest

from kdbg.kernels.solaris.saveargs import pushed_arguments, saved_arguments

FRAME = bytes.fromhex("55 48 89 e5")
ROOM = bytes.fromhex("48 83 ec 30")
STORES = [
    bytes.fromhex(one)
    for one in ("48 89 7d f8", "48 89 75 f0", "48 89 55 e8", "48 89 4d e0", "4c 89 45 d8", "4c 89 4d d0")
]
PUSHES = [bytes.fromhex(one) for one in ("57", "56", "52", "51", "41 50", "41 51")]
CALL = bytes.fromhex("e8 00 00 00 00")


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_stores_below_the_frame_pointer(count: int) -> None:
    code = FRAME + ROOM + b"".join(STORES[:count]) + CALL
    saved = saved_arguments(code, count, hidden=False)
    assert saved is not None
    assert (saved.registers, saved.total, saved.skipped, saved.done) == (count, count, 0, 8 + 4 * count)


def test_stores_in_any_order() -> None:
    code = FRAME + STORES[1] + ROOM + STORES[0]
    assert saved_arguments(code, 2, hidden=False) is not None


def test_pushes_are_stores_too() -> None:
    saved = saved_arguments(FRAME + b"".join(PUSHES), 6, hidden=False)
    assert saved is not None
    assert saved.registers == 6


def test_more_than_six_come_on_the_stack() -> None:
    saved = saved_arguments(FRAME + b"".join(STORES), 9, hidden=False)
    assert saved is not None
    assert (saved.registers, saved.total) == (6, 9)


def test_the_place_of_a_result_is_skipped() -> None:
    saved = saved_arguments(FRAME + b"".join(STORES[:3]), 2, hidden=True)
    assert saved is not None
    assert (saved.registers, saved.skipped) == (2, 1)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(STORES[0] + STORES[1], id="no frame is set up"),
        pytest.param(FRAME + STORES[0], id="one is not saved"),
        pytest.param(FRAME + STORES[0] + STORES[1][:3], id="cut off within an instruction"),
        pytest.param(FRAME + b"\x48\xb8" + STORES[0] + STORES[1], id="within the operand of another instruction"),
        pytest.param(b"", id="no code"),
    ],
)
def test_arguments_that_are_not_saved(code: bytes) -> None:
    assert saved_arguments(code, 2, hidden=False) is None


def test_other_instructions_between_do_no_harm() -> None:
    code = FRAME + bytes.fromhex("65 48 8b 04 25 00 00 00 00") + STORES[0] + bytes.fromhex("0f 1f 44 00 00") + STORES[1]
    saved = saved_arguments(code, 2, hidden=False)
    assert saved is not None
    assert saved.done == len(code)


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("83 c4 08 90 90 90", 2),
        ("81 c4 10 01 00 00", 68),
        ("59 8b c3 90 90 90", 1),
        ("59 59 c3 90 90 90", 2),
        ("8b c3 90", 0),
    ],
)
def test_what_a_caller_drops(code: str, count: int) -> None:
    assert pushed_arguments(bytes.fromhex(code)) == count
