"""Known issues: what makes one fit, and what a mistake in a file of them is told as."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kdbg.errors import UsageError
from kdbg.triage.known import known_issues, read_known
from kdbg.triage.report import LogLine, Report
from triage.reports import deadlock


def fits(folder: Path, body: str, report: Report | None = None) -> str | None:
    """Why an issue that says so fits, or None."""
    (folder / "one.toml").write_text(f'[[issue]]\nname = "it"\n{body}\n')
    found, _ = known_issues(deadlock() if report is None else report, read_known([str(folder)]))
    return found[0].by if found else None


DIGEST = deadlock().signature.digest


@pytest.mark.parametrize(
    ("body", "by"),
    [
        (f'signature = "{DIGEST}"', f"its signature is {DIGEST}"),
        (f'signature = ["0000", "{DIGEST}"]', f"its signature is {DIGEST}"),
        ('signature = ["0000"]', None),
        ('finding = "lock.cycle"', "it has lock.cycle"),
        ('finding = "lock.*"', "it has lock.*"),
        ('finding = "*.blocked-????"', "it has *.blocked-????"),
        ('finding = ["lock.*", "log.w[ae]rning"]', "it has lock.*, log.w[ae]rning"),
        ('finding = ["lock.*", "kmem.*"]', None),
        ('finding = "LOCK.*"', None),
        ("message = 'wait for .* in a circle'", '"2 threads wait for each other\'s locks in a circle" matches'),
        ("message = '^BUG: '", '"BUG: bad thing" matches'),
        ("message = '^bad'", None),
        ('kernel = ">=5.10, <6"', "the kernel is 5.11"),
        ('kernel = "==5"', "the kernel is 5.11"),
        ('kernel = ">5.11"', None),
        ('kernel = "!=5.11"', None),
        ('kernel = "<=5.11.0"', "the kernel is 5.11"),
        (f'signature = "{DIGEST}"\nkernel = ">=6"', None),
        ('finding = "lock.*"\nkernel = ">5.9"', "it has lock.*; the kernel is 5.11"),
    ],
)
def test_all_that_an_issue_says_has_to_fit(tmp_path: Path, body: str, by: str | None) -> None:
    assert fits(tmp_path, body) == by


@pytest.mark.parametrize(
    ("release", "versions", "found"),
    [
        ("6.1.0-56-cloud-amd64", "==6.1", True),
        ("6.1.0-56-cloud-amd64", ">6.1", False),
        ("6.10.2", ">6.9", True),
        ("6.10.2", ">=6.10.3", False),
        ("6", "<6.1", True),
        ("rolling", ">=0", False),
        (None, ">=0", False),
    ],
)
def test_versions_are_compared_as_numbers(tmp_path: Path, release: str | None, versions: str, found: bool) -> None:
    report = deadlock()
    report = replace(report, identity=replace(report.identity, release=release))
    assert (fits(tmp_path, f'kernel = "{versions}"', report) is not None) == found


def test_a_known_issue_has_its_words(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[[issue]]\nname = "A"\nlink = "https://example.org/1"\nword = "Fixed."\nfinding = "lock.*"\n'
        '[[issue]]\nname = "B"\nfinding = "no.*"\n'
    )
    (tmp_path / "b.toml").write_text('[[issue]]\nname = "C"\nfinding = "*"\n')
    (tmp_path / "c.txt").write_text("not looked at")
    found, _ = known_issues(deadlock(), read_known([str(tmp_path)]))
    assert [(one.name, one.link, one.word) for one in found] == [
        ("A", "https://example.org/1", "Fixed."),
        ("C", None, None),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[issue]]\nname = \n", "one.toml: Invalid value (at line 2, column 8)"),
        ("[[issue]\n", "one.toml: "),
        ('[issue]\nname = "x"\n', "one.toml: an issue begins with [[issue]]"),
        ("", "one.toml: an issue begins with [[issue]]"),
        (
            '[[issue]]\nname = "a"\nfinding = "x"\n\n[[issue]]\nfinding = "y"\n',
            "one.toml: issue 2 (line 5): it has no name",
        ),
        (
            '[[issue]]\nname = "a"\n',
            "one.toml: issue 1 (line 1): nothing says when it fits: signature, finding, message, kernel",
        ),
        ('[[issue]]\nname = "a"\nmessage = "("\n', "one.toml: issue 1 (line 1): "),
        ('[[issue]]\nname = "a"\nkernel = "5.10"\n', "one.toml: issue 1 (line 1): kernel: 5.10 is not like >=5.10"),
        ('[[issue]]\nname = "a"\nfinding = 3\n', "one.toml: issue 1 (line 1): finding is no list of texts"),
        ('[[issue]]\nname = "a"\nfinding = ["x", 3]\n', "one.toml: issue 1 (line 1): finding is no list of texts"),
        ('[[issue]]\nname = "a"\nlink = 3\nfinding = "x"\n', "one.toml: issue 1 (line 1): link is no text"),
        (
            '[[issue]]\nname = "a"\nfindings = "x"\n',
            "one.toml: issue 1 (line 1): no such field: findings (there are finding, ",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "one.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        read_known([str(tmp_path / "one.toml")])
    assert f"{tmp_path}/{told}" in str(error.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"one\.toml: "):
        read_known([str(tmp_path / "one.toml")])


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml: No such file"):
        read_known([str(tmp_path / "nowhere.toml")])
    with pytest.raises(UsageError, match=r"no \*\.toml in it"):
        read_known([str(tmp_path)])


def test_a_pattern_that_takes_for_ever_on_a_log_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested repetitions try every way to part the text: 2 ** 60 of them."""
    monkeypatch.setattr("kdbg.triage.known.SECONDS", 0.2)
    (tmp_path / "a.toml").write_text(
        '[[issue]]\nname = "slow"\nmessage = "(a+)+$"\n[[issue]]\nname = "next"\nmessage = "a!"\n'
    )
    report = replace(deadlock(), log=(LogLine(None, None, "a" * 60 + "!"),))
    found, notes = known_issues(report, read_known([str(tmp_path)]))
    assert [one.name for one in found] == ["next"]
    assert notes == ("known issue slow: its pattern takes longer than 0.2 s on this log",)
