"""A paravirtual guest of Xen after ``echo c > /proc/sysrq-trigger``: its console, and the hypervisor's event channels.

The sample is a part of the domain's core (samples/real/README.md). Its kernel was started with xen.fifo_events=0: what
is pending and masked stands in the page that guest and hypervisor share, which is none of the domain's.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.dump import Dump

FOLDER = Path(__file__).parents[3] / "samples" / "real"
TOLD: dict[str, Any] = json.loads((FOLDER / "xen-linux-crash.json").read_text())


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dump]:
    path = tmp_path_factory.mktemp("crash") / "xen-linux-crash.core"
    path.write_bytes(lzma.decompress((FOLDER / "xen-linux-crash.core.xz").read_bytes()))
    with kdbg.open(path) as target:
        yield target


def test_two_level_event_channels_are_those_of_the_hypervisor(crash: Dump) -> None:
    found = {one.evtchn: (one.pending, one.masked, one.cpu) for one in crash.run("::evtchns")}
    assert found == {port: (bool(pending), bool(masked), cpu) for port, pending, masked, cpu in TOLD["event_channels"]}


def test_a_channel_whose_bits_are_not_in_the_dump_says_so(crash: Dump, monkeypatch: pytest.MonkeyPatch) -> None:
    from kdbg.kernels.linux.event_channels import EventChannels

    monkeypatch.setattr(type(crash.image), "shared_info", None)
    found = list(EventChannels(crash.kernel).walk())  # type: ignore[arg-type]
    assert {(one.pending, one.masked) for one in found} == {(None, None)}
    assert len(found) == len(TOLD["event_channels"])
    assert "is not known" in crash.notes[-1]


def test_interrupts_of_channels(crash: Dump) -> None:
    numbered = [line.split() for line in TOLD["interrupts"] if line.split(":")[0].strip().isdigit()]
    told = {int(words[0].rstrip(":")): words[-1] for words in numbered}
    assert {one.irq: one.name for one in crash.run("::interrupts")} == told


def test_status_tells_of_the_panic(crash: Dump) -> None:
    [status] = crash.run("::status")
    assert (status.panic_message, status.panic_cause, status.panic_cpu) == (TOLD["message"], TOLD["cause"], 0)


def test_panicinfo_tells_who_and_where(crash: Dump) -> None:
    facts = {one.name: one.value for one in crash.run("::panicinfo")}
    assert (facts["cpu"], facts["pid"], facts["comm"]) == (0, 1, "init")
    assert (facts["message"], facts["cause"]) == (TOLD["message"], TOLD["cause"])
    assert facts["rip"] == crash.registers()["rip"]
    assert crash.run(f"{facts['thread']:x}::print struct task_struct pid")[0].value == 1


def test_the_stack_is_the_trace_that_the_kernel_printed(crash: Dump) -> None:
    found = [f"{frame.symbol}+{frame.offset:#x}" for frame in crash.run("$c")]
    told = [line for line in TOLD["trace"] if not line.startswith(("dump_stack", "panic+"))]  # panic has gone on since
    assert [line for line in found if line in told] == told
    assert "panic" in [frame.symbol for frame in crash.run("$c")]
