"""An event channel of a real Xen guest, masked in a copy of its dump: an event pends that no handler will see.

Facts: Xen's public xen.h: struct shared_info of 64 bits has 32 vcpu_info of 64 bytes, 64 words of pending events, and
as many of masked ones.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import kdbg
from kdbg.dump import Dump
from kdbg.triage.report import Report
from triage.patients import only

DUMP = Path(__file__).parents[2] / "samples" / "real" / "xen-linux-crash.core.xz"
MASKS = 32 * 64 + 64 * 8
CONSOLE = 2
"""The channel of the console, on which an event pends."""


def triage(path: Path) -> Report:
    with kdbg.open(path) as target:
        return target.triage()


def test_a_channel_with_an_event_that_is_masked(tmp_path: Path) -> None:
    path = tmp_path / "crash.core"
    data = bytearray(lzma.decompress(DUMP.read_bytes()))
    path.write_bytes(data)
    with kdbg.open(path) as target:
        assert isinstance(target, Dump)
        shared = getattr(target.image, "shared_info", None)
        assert shared is not None
        page = bytes(shared)
        (channel,) = (one for one in target.run("::evtchns") if one.evtchn == CONSOLE)
    assert channel.pending
    assert not channel.masked
    assert not triage(path).found("evtchn.pending-masked")

    data[data.index(page) + MASKS] |= 1 << CONSOLE
    path.write_bytes(data)
    finding = only(triage(path), "evtchn.pending-masked")
    assert "channel 2 (hvc_console, hvc_handle_interrupt)" in finding.summary
    assert finding.cpus == (channel.cpu,)
    assert finding.addresses == (channel.address,)
