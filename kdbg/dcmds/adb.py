"""Small dcmds that mdb has inherited or has for itself; on a file most have little to say."""

from __future__ import annotations

from kdbg.dcmds.registry import NONE, Call, dcmd, flag
from kdbg.errors import CommandError, UsageError

UNSUPPORTED = "operation not supported by target"


@dcmd(
    "$a", "a word on an old friend", plain_usage=True, words=None,
    help="A greeting to people who come from adb.",
    hint=False,
    example="$a",
)  # fmt: skip
def algol(call: Call) -> None:
    """What is not here."""
    call.session.out.line("No algol 68 here" if call.session.adb else "No adb here")


@dcmd(
    "obey", "a word on another old friend", plain_usage=True, words=None,
    help="A greeting to people who come from adb.",
    hint=False,
    example="::obey",
)  # fmt: skip
def obey(call: Call) -> None:
    """What is not here either."""
    call.session.out.line("CHAPTER 1" if call.session.adb else "No Language H here")


@dcmd(
    "$D", "show or set the debug options of the debugger itself: there are none", synopsis="[mode,...]", words=None,
    help="There are no debug options: the mode is always 0.",
    hint=False,
    example="$D",
)  # fmt: skip
def debug_mode(call: Call) -> None:
    """No option is known."""
    words = call.words
    if len(words) > 1 or (words and (call.explicit or not isinstance(words[0], str))):
        raise UsageError("")
    if words:
        call.session.warn(f'unknown debug option "{words[0]}"')
    call.session.out.line("debugging mode = 0x0000")


@dcmd(
    "dem", "demangle names", plain_usage=True, synopsis="name ...", words=None,
    help="Names of C++ are not taken apart: they come back as they are.",
    hint=False,
    example="::dem main",
)  # fmt: skip
def demangle(call: Call) -> None:
    """Names of C stay as they are."""
    if not call.words:
        raise UsageError("")
    for name in call.words:
        call.session.out.line(f"{name} == {name}")


@dcmd(
    "term", "show the type of the terminal", plain_usage=True, words=None,
    help="The type of the terminal, from ::set -o term or the environment.",
    hint=False,
    example="::term",
)  # fmt: skip
def terminal(call: Call) -> None:
    """The type of the terminal."""
    import os

    call.session.out.line(call.session.settings.terminal or os.environ.get("TERM", "<NULL>"))


@dcmd(
    "showrev", "show versions", address=NONE, synopsis="[-pv]",
      options=[flag("p", "of patches"), flag("v", "of all objects")],
    help="Nothing is known of versions of objects in a file.",
    hint=False,
    example="::showrev",
)  # fmt: skip
def showrev(call: Call) -> None:
    """Versions of objects are not known."""


@dcmd(
    "xdata", "list what the target exports", address=NONE,
    help="What a process exports to the debugger; for a program that does not run mostly empty.",
    hint=False,
    example="::xdata",
)  # fmt: skip
def external_data(call: Call) -> None:
    """What mdb's process target exports; other files export nothing."""
    if call.target.kind in ("object", "none"):
        for name, text, size in _EXPORTED:
            call.session.out.line(f"{name:<24} - {text} ({size} bytes)")


_EXPORTED = (
    ("auxv", "procfs auxv_t array", 0),
    ("cred", "procfs prcred_t structure", 0),
    ("ehdr", "executable file GElf_Ehdr structure", 64),
    ("lwpstatus", "procfs lwpstatus_t array", 0),
    ("pshandle", "libproc proc service API handle", 8),
    ("psinfo", "procfs psinfo_t structure", 416),
    ("pstatus", "procfs pstatus_t structure", 1680),
    ("utsname", "utsname structure", 1285),
)


@dcmd("linkerset", "show linker sets", address=NONE, synopsis="[name]", words=1, hint=True,
      help="Linker sets are arrays that the linker gathers from all objects of a kernel.",
      example="::linkerset")  # fmt: skip
def linker_set(call: Call) -> None:
    """There are none in files."""
    if call.words:
        raise CommandError(f"Failed to get address of linkerset: {UNSUPPORTED}")
    call.session.out.line("NAME                 ITEMSIZE ITEMCOUNT")
