"""How commands on Linux kernels say what they cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from kdbg.dcmds.linux.failing import DEBUG_FILES, about
from kdbg.errors import CommandError, ReadError, TypeNotFound, UsageError
from kdbg.kernels.linux.probe.table import Heads


class Kernel:
    """As much of a kernel as tells where its types are from."""

    def __init__(self, **by_form: int) -> None:
        self.heads = Heads(self)  # type: ignore[arg-type]
        self.heads.update(by_form)

    def part(self, make: Any) -> Heads:
        assert make is Heads
        return self.heads


def test_an_error_is_told_by_its_topic() -> None:
    with pytest.raises(CommandError) as caught, about("timers", Kernel()):  # type: ignore[arg-type]
        raise TypeNotFound("struct hrtimer")
    assert str(caught.value) == f"timers: {TypeNotFound('struct hrtimer')}"


def test_what_has_no_type_may_be_in_debug_files() -> None:
    kernel: Any = Kernel(init_task=0xC1000000)
    with pytest.raises(CommandError) as caught, about("timers", kernel):
        raise TypeNotFound("struct hrtimer")
    assert str(caught.value).endswith(DEBUG_FILES)
    with pytest.raises(CommandError) as caught, about("timers", kernel):
        raise ReadError(0x1000, "not mapped")
    assert DEBUG_FILES not in str(caught.value)


def test_a_command_s_own_errors_stay() -> None:
    with pytest.raises(UsageError, match=r"^wrong$"), about("timers", Kernel()):  # type: ignore[arg-type]
        raise UsageError("wrong")
