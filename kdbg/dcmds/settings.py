"""``::set``: the settings of the session."""

from __future__ import annotations

from kdbg.dcmds.registry import NONE, Call, Option, Options, Word, dcmd, flag, number, word
from kdbg.dcmds.session import distance_text
from kdbg.errors import UsageError
from kdbg.lang.errors import Silent
from kdbg.lang.options import parse_options
from kdbg.lang.output import Output

LABEL = 26
"""Columns of the labels."""

_SHOWN = ("adb", "autowrap", "ignoreeof", "lmraw", "pager", "repeatlast", "showlmid", "stop_on_bpt_nosym",
          "write_readback")  # fmt: skip

_OPTIONS: tuple[Option, ...] = (
    flag("F", "take a target over by force (of no effect on files)"),
    word("I", "path", "where macro files are looked for"),
    word("L", "path", "where modules are looked for"),
    word("P", "prompt", "the prompt"),
    word("o", "options", "options to set: name,name=value,..."),
    number("s", "dist", "how far from a symbol an address may lie to be named by it"),
    flag("w", "open the file for writing"),
    flag("W", "allow access to devices (of no effect on files)"),
    word("D", "mode", "debug options of mdb itself (none here)"),
)


@dcmd(
    "set",
    "show or change the settings",
    address=NONE,
    synopsis="[-wF] [+/-o opt] [-s dist] [-I path] [-L path] [-P prompt]",
    words=None,
    example="::set -o autowrap",
    help=(
        "Shows all settings without options. -o and +o switch: pager, autowrap, repeatlast, adb and more, or "
        "set limits of arrays: -o array_mem_limit=64. -s sets the distance of symbols, -P the prompt, -I and "
        "-L the paths of macros and modules."
    ),
    hint=False,
)
def set_(call: Call) -> None:
    """Show the settings, or change them."""
    if not call.words:
        _show(call)
        return
    options, cleared, unset = _parse(call, list(call.words))
    if (options.w and "w" in cleared) or (options.W and "W" in cleared):
        raise UsageError("")
    _open_again(call, options.w, "w" in cleared)
    _change(call, options, unset)
    if options.W or "W" in cleared:
        flags = call.session.settings.target_flags
        (flags.add if options.W else flags.discard)("allow_io_access")


def _parse(call: Call, words: list[Word]) -> tuple[Options, set[str], str | None]:
    """Options between which ``+w``, ``+W`` and ``+o opt`` may stand: options, cleared letters, options to unset."""
    given: dict[str, object] = {}
    cleared: set[str] = set()
    unset: str | None = None
    while True:
        options, words = parse_options(call.session, _OPTIONS, words)
        given.update(options.given())
        if not words:
            return Options(_OPTIONS, given), cleared, unset
        head = words.pop(0)
        if head in ("+w", "+W"):
            cleared.add(str(head)[1])
        elif head == "+o" and words and isinstance(words[0], str):
            unset = str(words.pop(0))
        else:
            raise UsageError("")


def _open_again(call: Call, write: bool, read_only: bool) -> None:
    target = call.session.target
    writable = getattr(target, "writable", False)
    if (write and not writable) or (read_only and writable):
        open_for_writing(call, write)


def open_for_writing(call: Call, write: bool) -> None:
    """Open the target's file again, for writing or not. Raises `CommandError`, which is said already."""
    session = call.session
    target = session.target
    change = getattr(target, "set_writable", None)
    if write and session.settings.safe:
        session.warn("files are not written to: --safe")
        raise Silent
    if change is None:
        session.warn(f"{target.name}: is never written to")
        raise Silent
    try:
        change(write)
    except OSError as error:
        session.warn(f"failed to re-open target: {error.strerror}")
        raise Silent from None


def _change(call: Call, options: Options, unset: str | None) -> None:
    session = call.session
    settings = session.settings
    if options.o is not None:
        settings.set_options(options.o, True, session.warn)
    if unset is not None:
        settings.set_options(unset, False, session.warn)
    if options.I is not None:
        settings.macro_path = path_list(options.I, settings.macro_path)
    if options.L is not None:
        settings.module_path = path_list(options.L, settings.module_path)
    if options.P is not None:
        settings.set_prompt(options.P, session.warn)
    if options.s is not None:
        settings.distance = options.s
    if options.D is not None:
        session.warn(f'unknown debug option "{options.D}"')
    session.apply_settings()


def path_list(path: str, old: list[str]) -> list[str]:
    """The folders of a search path; ``%o`` in it stands for the old one."""
    return [part for part in path.replace("%o", ":".join(old)).split(":") if part]


def _show(call: Call) -> None:
    session = call.session
    settings, out = session.settings, session.out
    out.write("\n  macro path: ")
    _show_path(out, settings.macro_path)
    out.write(" module path: ")
    _show_path(out, settings.module_path)
    _label(out, "symbol matching distance:", distance_text(settings.distance, session.radix))
    _label(out, "array member print limit:", _limit(settings.array_limit))
    out.line(f" array string print limit: {_limit(settings.string_limit)}")
    _label(out, "command prompt:", f'"{settings.prompt}"')
    words = [
        [f"follow_exec_mode={settings.choices['follow_exec_mode']}"],
        ["follow_fork_mode", settings.choices["follow_fork_mode"]],  # without its sign: so it is in mdb
        *([name] for name in _SHOWN if name in settings.flags),
    ]
    _list(out, "debugger options:", words)
    target_words = [["read-write" if getattr(session.target, "writable", False) else "read-only"]]
    target_words += [[shown] for name, shown in (("allow_io_access", "allow-io-access"), ("nostop", "no-stop"))
                     if name in settings.target_flags]  # fmt: skip
    _list(out, "target options:", target_words)


def _limit(limit: int | None) -> str:
    return "none" if limit is None else str(limit)


def _show_path(out: Output, path: list[str]) -> None:
    out.write("".join(f"{'' if i == 0 else ' ' * 14}{folder}\n" for i, folder in enumerate(path)) + "\n")


def _label(out: Output, label: str, text: str) -> None:
    out.line(f"{label:>{LABEL}} {text}")


def _list(out: Output, label: str, words: list[list[str]]) -> None:
    """Print words after a label, broken at the last column whatever the settings, indented under the first one."""
    out.write(f"{label:>{LABEL}} ")
    out.indent_by(LABEL + 1)
    wrap, out.wrap = out.wrap, True
    try:
        for number_, parts in enumerate(words):
            if number_:
                out.field(", ")
            for part in parts:
                out.field(part)
        out.newline()
    finally:
        out.wrap = wrap
        out.unindent_by(LABEL + 1)


@dcmd(
    "$W", "open the target's file for writing", plain_usage=True,
    help=(
        "Opens files and programs again so that they can be written to with the letters v w W Z and ::write. "
        "Dumps never are."
    ),
    hint=False,
    example="$W",
)  # fmt: skip
def reopen(call: Call) -> None:
    """Open the file again for writing."""
    open_for_writing(call, True)
