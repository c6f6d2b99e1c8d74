"""The catalogue, the analysers and docs/triage.md tell of the same findings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kdbg.triage.analysers import OF_FAMILY, analysers, unknown_findings
from kdbg.triage.catalogue import CATALOGUE

DOCUMENT = (Path(__file__).parents[2] / "docs" / "triage.md").read_text()
SECTIONS = dict(re.findall(r"^### `([\w.-]+)`\n(.*?)(?=^##)", DOCUMENT + "\n##", re.MULTILINE | re.DOTALL))


def test_every_finding_has_a_section_and_every_section_a_finding() -> None:
    assert list(SECTIONS) == list(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_section_says_what_it_means_how_it_is_found_when_it_is_wrong_and_what_next(name: str) -> None:
    text = SECTIONS[name]
    assert text.startswith(f"*{CATALOGUE[name].severity.value}")
    for part in ("**How**", "**Wrong when**", "**Next**"):
        assert part in text, part


@pytest.mark.parametrize("family", [None, *OF_FAMILY])
def test_analysers_find_only_what_the_catalogue_has(family: str | None) -> None:
    assert unknown_findings(analysers(family)) == []


def test_every_finding_is_some_analysers() -> None:
    found = {name for family in OF_FAMILY for one in analysers(family) for name in one.finds}
    assert set(CATALOGUE) - found == set()


def test_names_of_analysers_are_their_own() -> None:
    for family in OF_FAMILY:
        names = [one.name for one in analysers(family)]
        assert len(names) == len(set(names))
