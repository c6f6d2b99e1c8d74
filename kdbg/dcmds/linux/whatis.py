"""::whatis: what an address is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.registry import REQUIRED_AFTER_OPTIONS, Call, View, dcmd, flag
from kdbg.errors import CommandError
from kdbg.kernels.linux.whatis import Whatis, Whereabouts
from kdbg.records import Text


def _place(found: Whatis) -> str:
    """``A is ``, or ``A is BASE+OFFSET, ``."""
    if found.offset:
        return f"{found.address:x} is {found.base:x}+{found.offset:x}, "
    return f"{found.address:x} is "


def _symbol(found: Whatis, view: View) -> str:
    offset = f"+{found.offset:x}" if found.offset else ""
    return f"{found.address:x} is {found.name}{offset}, in {found.module}'s {found.part}"


def _module(found: Whatis, view: View) -> str:
    return f"{found.address:x} is in {found.module}'s {found.part}"


def _per_cpu(found: Whatis, view: View) -> str:
    offset = f"+{found.offset:x}" if found.offset else ""
    what = f"{found.name}{offset}" if found.name else "in the per-CPU area"
    return f"{found.address:x} is {what} of CPU {found.cpu}"


def _stack(found: Whatis, view: View) -> str:
    part = f", {found.part}" if found.part else ""
    return (
        f"{found.address:x} is in the stack of task {found.task:x} ({found.name}) [{found.base:x},{found.end:x}){part}"
    )


def _slab(found: Whatis, view: View) -> str:
    if not found.state:
        return f"{found.address:x} is in slab {found.slab:x} of {found.name}, {found.part}"
    word = "allocated" if found.state == "allocated" else "freed"
    where = f", on CPU {found.cpu}'s list" if found.cpu is not None else ""
    behind = f", {found.part}" if found.part else ""
    return f"{_place(found)}{word} from {found.name}{where}{behind}"


def _vmalloc(found: Whatis, view: View) -> str:
    caller = f", allocated by {view.label(found.caller)}" if found.caller else ""
    return f"{found.address:x} is in vmalloc area [{found.base:x},{found.end:x}): {found.part or 'mapped'}{caller}"


def _page(found: Whatis, view: View) -> str:
    kind = {"anon": "anonymous memory", "shmem": "shared memory"}.get(found.part, found.part)
    of = f" of {found.name} at {found.file_offset:x}" if found.name else ""
    line = f"{found.address:x} is in pfn {found.pfn:x}: {kind}{of}"
    return "\n".join(
        [line, *(f"        mapped at {one.address:x} by {one.name}/{one.pid} ({one.task:x})" for one in found.users)]
    )


def _user(found: Whatis, view: View) -> str:
    memory = f", pfn {found.pfn:x}" if found.pfn is not None else ", not in memory"
    area = f"[{found.base:x},{found.end:x})"
    return f"{found.address:x} is in {found.part} {area} of task {found.task:x} ({found.name}){memory}"


_REPORTS: dict[str, Any] = {
    "symbol": _symbol,
    "module": _module,
    "per-CPU": _per_cpu,
    "task": lambda found, _: f"{_place(found)}the task_struct of {found.name}",
    "stack": _stack,
    "slab": _slab,
    "struct page": lambda found, _: f"{_place(found)}the struct page of pfn {found.pfn:x}",
    "vmalloc": _vmalloc,
    "page": _page,
    "user": _user,
    "physical": lambda found, _: (
        f"{found.address:x} as a physical address is in pfn {found.pfn:x}, mapped at {found.name}"
    ),
    "unmapped": lambda found, _: f"{found.address:x} is not mapped: {found.name.partition(': ')[2]}",
    "unknown": lambda found, _: f"{found.address:x} is unknown",
}


def _text(record: Whatis | Text, view: View) -> str:
    return record.text if isinstance(record, Text) else str(_REPORTS[record.kind](record, view))


@dcmd(
    "whatis",
    "say what an address is",
    address=REQUIRED_AFTER_OPTIONS,
    synopsis="[-akqv]",
    options=[
        flag("a", "all that it is, not only the first"),
        flag("k", "keep the order of what a pipe brings (it is kept anyway)"),
        flag("q", "one line each"),
        flag("v", "say what is searched"),
    ],
    text=_text,
    needs=("kernel",),
    help="Of a kernel address: module and symbol, per-CPU variable (which CPU), task, stack (whose), object of a slab "
    "(cache, allocated or free), struct page, vmalloc area; else what its page is used for: free, page table, page of "
    "a file, anonymous memory and who has it mapped. Of an address of user mode: the processes that have an area "
    "there. What is neither is taken for a physical address.",
    example="ffff888004a3c2c0::whatis -a",
    module="linux",
)
def whatis(call: Call) -> Iterator[Whatis | Text]:
    """What the address is."""
    options = call.options
    if call.piped_out:
        raise CommandError("whatis: cannot be output into a pipe")
    part: Whereabouts = call.kernel.part(Whereabouts)
    said: list[str] = []
    with about(f"{call.address:x}", call.kernel):
        for answer in part.answers(call.address, said.append):
            if options.v:
                yield from map(Text, said)
                said.clear()
            yield answer
            if not options.a and answer.kind not in ("physical", "user"):
                return
