"""The prompt at a real (pseudo) terminal: one test for each thing that a person does there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.repl.terminal import Terminal

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

Start = Callable[..., Terminal]
CORE = "domu-sxc16.core"
FOREVER = "::eval \",ffffffff::eval '1>a'\""


@pytest.fixture
def core(unpacked: Callable[[str], Path]) -> str:
    return str(unpacked(CORE))


def test_greeting_says_what_it_is_and_which_commands_are_there(terminal: Start, core: str) -> None:
    screen = terminal(core).wait(r"^>")
    assert "domu-sxc16.core: Xen 3.0.4 domain core" in screen
    assert "SunOS 5.11 onnv-johnlev on sxc16" in screen
    assert "Loading modules: [ kdbg solaris ]" in screen


def test_tab_completes_a_dcmd(terminal: Start, core: str) -> None:
    kdbg = terminal(core)
    kdbg.ready()
    kdbg.keys("::threadl\t")
    kdbg.wait(r"^> ::threadlist$")


def test_tab_shows_members_in_columns(terminal: Start, core: str) -> None:
    kdbg = terminal(core)
    kdbg.ready()
    kdbg.keys("::print proc_t p_user.u_c\t")
    screen = kdbg.wait(r"u_cdir\s+u_cmask\s+u_comm|u_cdir[\s\S]*u_comm")
    assert "u_cwd" in screen
    assert all(len(line) <= 80 for line in screen.splitlines())


def test_tab_completes_symbols_options_types_and_walkers(terminal: Start, core: str) -> None:
    kdbg = terminal(core)
    for typed, wanted in (
        ("thread_dea\t", "> thread_deathrow"),
        ("::sizeof kthr\t", r"kthread_id_t\s+kthread_t"),
        ("::walk thread_d\t", "> ::walk thread_deathrow"),
        ("::print -\t", "show the address of each member"),
    ):
        kdbg.ready()
        kdbg.keys(typed)
        kdbg.wait(wanted)
        kdbg.keys("\x03")


def test_history_lives_on_and_is_searched(terminal: Start, home: Path) -> None:
    with terminal() as first:
        first.enter("1+1=D")
        first.enter("::echo early bird")
        first.keys("\x04")
        assert first.left() == 0
    kept = home / ".local" / "state" / "kdbg" / "history"
    assert kept.read_text().splitlines() == ["1+1=D", "::echo early bird"]
    assert kept.stat().st_mode & 0o077 == 0
    second = terminal()
    second.ready()
    second.keys("\x1b[A")
    second.wait(r"^> ::echo early bird$")
    second.keys("\x03")
    second.ready()
    second.keys("\x12")
    second.wait("reverse-i-search")
    second.keys("1+1")
    second.wait(r"1\+1': 1\+1=D$")
    second.keys("\r")
    second.wait(r"^> 1\+1=D$")
    second.keys("\r")
    second.wait(r"^\s+2$")


def test_history_goes_where_xdg_says(terminal: Start, tmp_path: Path) -> None:
    with terminal(XDG_STATE_HOME=str(tmp_path / "state")) as kdbg:
        kdbg.enter("1=K")
        kdbg.keys("\x04")
        kdbg.left()
    assert (tmp_path / "state" / "kdbg" / "history").read_text() == "1=K\n"


def test_ctrl_c_stops_a_command_at_once_and_the_session_goes_on(terminal: Start) -> None:
    kdbg = terminal()
    kdbg.ready()
    kdbg.keys(FOREVER + "\r")
    kdbg.settle(0.5)
    stopped = time.monotonic()
    kdbg.keys("\x03")
    kdbg.ready()
    took = time.monotonic() - stopped
    assert took < 0.2 + 0.3, "0.2 s, and what the drawing of the next prompt takes here"
    assert "\n                3" in kdbg.enter("1+2=D")


def test_ctrl_c_at_the_prompt_gives_a_new_line(terminal: Start) -> None:
    kdbg = terminal()
    kdbg.ready()
    kdbg.keys("1+1")
    kdbg.wait(r"^> 1\+1$")
    kdbg.keys("\x03")
    assert "\n                5" in kdbg.enter("2+3=D")


def test_ctrl_c_ends_a_child_of_the_shell_and_not_the_session(terminal: Start) -> None:
    kdbg = terminal()
    kdbg.ready()
    kdbg.keys("!sleep 60\r")
    kdbg.settle(0.4)
    kdbg.keys("\x03")
    assert "back" in kdbg.enter("!echo back").split("!echo back")[1]


def test_a_sign_of_life_after_a_second(terminal: Start) -> None:
    kdbg = terminal()
    kdbg.ready()
    kdbg.keys(FOREVER + "\r")
    kdbg.wait(r"\d s  \(Ctrl-C stops\)", 10)
    kdbg.keys("\x03")
    kdbg.ready()
    assert "Ctrl-C stops" not in kdbg.screen.text()


def test_long_output_is_paged(terminal: Start, core: str) -> None:
    kdbg = terminal(core)
    kdbg.ready()
    kdbg.keys("::walk thread\r")
    page = kdbg.wait("-- more --")
    assert page.count("\n") == 23
    kdbg.keys("\r")
    kdbg.settle()
    line_later = kdbg.screen.text()
    assert line_later.splitlines()[:20] == page.splitlines()[1:21]
    kdbg.keys(" ")
    kdbg.settle()
    assert line_later.splitlines()[22] not in kdbg.screen.text().splitlines()[1:]
    kdbg.keys("q")
    kdbg.ready()
    assert "more" not in kdbg.screen.text()


def test_short_output_is_not_paged_and_long_output_neither_when_that_is_off(terminal: Start, core: str) -> None:
    kdbg = terminal(core, lines=16)
    assert "more" not in kdbg.enter("::status")
    kdbg.enter("::set +o pager")
    assert "more" not in kdbg.enter("::walk thread")


@pytest.mark.parametrize("leave", ["$q\r", "::quit\r", "\x04"])
def test_leaving(terminal: Start, leave: str) -> None:
    kdbg = terminal()
    kdbg.ready()
    kdbg.keys(leave)
    assert kdbg.left() == 0


def test_did_you_mean(terminal: Start, core: str) -> None:
    kdbg = terminal(core)
    assert "did you mean ::threadlist?" in kdbg.enter("::thraedlist")
    assert "did you mean thread_deathrow?" in kdbg.enter("thread_deathrwo=K")
    assert "did you mean proc_t" in kdbg.enter("::sizeof porc_t")
    assert "did you mean thread_deathrow?" in kdbg.enter("::walk thread_detahrow")


def test_kdbgrc_runs_before_the_first_prompt(terminal: Start, home: Path) -> None:
    (home / ".kdbgrc").write_text("// mine\n::echo good morning\n7>seven\n")
    kdbg = terminal()
    assert "good morning" in kdbg.wait(r"^>$")
    assert "\n                7" in kdbg.enter("<seven=K")


def test_kdbgrc_is_passed_over_with_s(terminal: Start, home: Path) -> None:
    (home / ".kdbgrc").write_text("::echo good morning\n")
    kdbg = terminal("-S")
    kdbg.ready()
    assert "good morning" not in kdbg.screen.text()


def test_kdbgrc_that_others_can_write_is_not_run(terminal: Start, home: Path) -> None:
    (home / ".kdbgrc").write_text("::echo good morning\n")
    (home / ".kdbgrc").chmod(0o666)
    screen = terminal().wait(r"^>$")
    assert "others can write" in screen
    assert "good morning" not in screen


def test_bottom_line_says_dump_kernel_and_dot(terminal: Start, core: str) -> None:
    kdbg = terminal(core)
    kdbg.enter("cpus/K")
    kdbg.wait("domu-sxc16.core  SunOS 5.11 onnv-johnlev .*[.] = [0-9a-f]+  cpus")
    assert kdbg.screen.line(23).startswith(" domu-sxc16.core")


def test_no_color_means_none(terminal: Start, core: str) -> None:
    kdbg = terminal(core, NO_COLOR="1")
    kdbg.enter("::help status")
    kdbg.keys("::wal\t")
    kdbg.wait("::walk")
    assert kdbg.screen.colours == 0


def test_colours_where_they_are_wanted(terminal: Start) -> None:
    kdbg = terminal()
    kdbg.enter("::echo x")
    assert kdbg.screen.colours > 0


def test_dumb_terminal_gets_text_and_nothing_else(terminal: Start, core: str) -> None:
    kdbg = terminal(core, term="dumb")
    kdbg.wait(r"^>$")
    kdbg.keys("::thraedlist\n")
    kdbg.wait("did you mean")
    kdbg.keys("::walk thread ! wc -l\n")
    kdbg.wait(r"^(> )?\s*\d+$")
    kdbg.keys("\x03")
    kdbg.settle()
    kdbg.keys("1+1=D\n")
    kdbg.wait(r"^\s+2$")
    kdbg.keys("\x04")
    assert kdbg.left() == 0
    assert "\x1b" not in kdbg.raw


def test_tiny_window(terminal: Start, core: str) -> None:
    kdbg = terminal(core, columns=20, lines=4)
    kdbg.wait(r"^>")
    kdbg.keys("::set +o pager\r")
    kdbg.settle()
    kdbg.keys("1+2=D\r")
    kdbg.wait(r"^\s+3$")
    kdbg.keys("::thr\t")
    kdbg.wait("^> ::thread")
    assert "too small" not in kdbg.screen.text()
    kdbg.keys("\x03$q\r")
    assert kdbg.left() == 0


def test_no_control_byte_of_a_file_reaches_the_terminal(terminal: Start, tmp_path: Path) -> None:
    evil = tmp_path / "evil.bin"
    evil.write_bytes(b"red \x1b[31m bell \x07 bidi \xe2\x80\xae c1 \x9b5n gr\xc3\xb6n\0")
    kdbg = terminal(str(evil))
    screen = kdbg.enter("0/s")
    assert r"red \033[31m bell \007 bidi \342\200\256 c1 \2335n grön" in screen
    assert "\x1b[31m" not in kdbg.raw
    assert "\u202e" not in kdbg.raw.encode("latin-1").decode("utf-8", "replace")


def test_help_is_a_page(terminal: Start) -> None:
    screen = terminal(lines=40).enter("::help print")
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLE"):
        assert f"\n{heading}\n" in screen


@pytest.mark.parametrize("columns", [80, 40])
def test_lists_fit_the_window(terminal: Start, core: str, columns: int) -> None:
    kdbg = terminal(core, columns=columns, lines=50)
    kdbg.enter("::set +o pager")
    for line in ("::help", "::dcmds", "::walkers"):
        kdbg.enter(line)
    shown = [*kdbg.screen.scrolled, *kdbg.screen.text().splitlines()]
    assert any("cpuinfo" in line for line in shown)
    assert all(len(line) < columns for line in shown if line and "domu-sxc16" not in line)
