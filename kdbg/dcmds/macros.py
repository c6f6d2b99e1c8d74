"""Macros: files of the language that are read in place of, or within, the input at hand."""

from __future__ import annotations

import os

from kdbg.dcmds.registry import NONE, Call, dcmd
from kdbg.errors import TypeNotFound, UsageError
from kdbg.lang.errors import ABORTED, Abort
from kdbg.lang.source import FileSource, file_name

_HELP = """Reads commands from a file. A name without a slash is looked for along the macro path (::set -I). Where there
is no such file, the name of one of mdb's old macros runs the dcmd that took its place ($M lists them), and the name of
a type prints the memory at the address as that type."""

ALIASES = {
    "bufctl": "::bufctl",
    "bufctl_audit": "::bufctl -v",
    "cpu": "::cpuinfo -v",
    "cpun": "::cpuinfo -v",
    "cpus": "::walk cpu |::cpuinfo -v",
    "devinfo": "::print struct dev_info",
    "devinfo.minor": "::minornodes",
    "devinfo.next": "::walk devi_next |::devinfo -s",
    "devinfo.parent": "::walk devinfo_parents |::devinfo -s",
    "devinfo.prop": "::devinfo",
    "devinfo.sibling": "::walk devinfo_siblings |::devinfo -s",
    "devinfo_brief": "::devinfo -s",
    "devinfo_major": "::devbindings -s",
    "devnames_major": "::devnames -m",
    "devt": "::devt",
    "devt2snode": "::dev2snode",
    "findthreads": "::walk thread |::thread",
    "major2snode": "::major2snode",
    "mblk": "::mblk -v",
    "modctl.brief": "::modctl",
    "modules": "::modinfo",
    "mount": "::fsinfo",
    "msgbuf": "::msgbuf",
    "mutex": "::mutex",
    "panicbuf": "::panicinfo",
    "pid2proc": "::pid2proc |::print proc_t",
    "proc2u": "::print proc_t p_user",
    "procargs": "::print proc_t p_user.u_psargs",
    "queue": "::queue -v",
    "sema": "::print sema_impl_t",
    "stackregs": "::stackregs",
    "stacktrace": "::stackregs",
    "systemdump": "0>rip;nopanicdebug/W 1;:c",
    "thread": "::print kthread_t",
    "threadlist": "::threadlist -v",
    "u": "::print user_t",
    "utsname": "utsname::print",
}
"""Names of adb's macros and the commands that mdb runs for them (mdb_macalias.c)."""


@dcmd(
    "$<<", "read commands from a macro file", plain_usage=True, synopsis="macro-name", words=None, help=_HELP,
    example="$<<macros/thread",
)  # fmt: skip
def source(call: Call) -> None:
    """Run a macro file within the input at hand."""
    if len(call.words) != 1 or not isinstance(call.words[0], str):
        raise UsageError("")
    if call.piped_out:
        raise Abort("macro files cannot be used as input to a pipeline")
    found = _open(call, call.words[0])
    if found is None:
        _instead(call, call.words[0])
        return
    try:
        call.session.run(found)
    finally:
        found.close()


@dcmd(
    "$<", "read commands from a macro file instead", plain_usage=True, synopsis="macro-name", words=None, help=_HELP,
    example="ffffff01d6f09c00$<thread",
)  # fmt: skip
def replace(call: Call) -> None:
    """Run a macro file in place of the one at hand; without a name, end that one."""
    session = call.session
    if not call.words:
        if session.depth > 1 and session.source is not None:
            session.source.discard()
        else:
            session.warn("input stack is empty")
        return
    if call.piped_in or call.piped_out or session.depth == 1:
        source(call)
        return
    if len(call.words) != 1 or not isinstance(call.words[0], str):
        raise UsageError("")
    found = _open(call, call.words[0])
    if found is None:
        _instead(call, call.words[0])
    else:
        session.replace_source(found)


def _open(call: Call, name: str) -> FileSource | None:
    """Open a macro file; None where there is none of that name."""
    session = call.session
    if session.settings.safe:
        raise Abort("macro files are not read: --safe")
    folders = [""] if "/" in name else session.settings.macro_path
    for folder in folders:
        path = os.path.join(folder, file_name(name))
        try:
            return FileSource(path)
        except OSError:
            continue
    return None


def _instead(call: Call, name: str) -> None:
    """Run the command that took a macro's place, or print a type of that name. Raises `Abort`."""
    session = call.session
    command = ALIASES.get(name)
    if command is not None:
        prefix = f"{call.address:x}" if call.explicit else ""
        if not session.execute(prefix + command):
            raise Abort("")
        return
    for spelling in (f"struct {name}", f"union {name}", f"{name}_t", f"struct {name}s", f"union {name}s"):
        try:
            session.target.type(spelling)
        except TypeNotFound:
            continue
        _print(call, spelling)
        return
    raise Abort(f"failed to open {name} (see ::help '$<')")


def _print(call: Call, spelling: str) -> None:
    session = call.session
    status = session.call_dcmd("print", call.address if call.explicit else session.dot, [spelling], call)
    if status == ABORTED:
        raise Abort("")


@dcmd(
    "$M", "list the macro names that stand for commands", address=NONE,
    help="Names that $< understands although there is no file, because a command does the same.",
    hint=False,
    example="$M",
)  # fmt: skip
def aliases(call: Call) -> None:
    """List the names of adb's macros and what runs in their place."""
    out = call.session.out
    out.line(f"{'MACRO':<20} {'NATIVE EQUIVALENT':<59}")
    for name, command in ALIASES.items():
        out.line(f"{name:<20} {command}")
