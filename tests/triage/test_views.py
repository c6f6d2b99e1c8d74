"""Views of a report: each is valid by its schema, tells what is there, and nothing of a dump breaks it."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from kdbg.triage.catalogue import CATALOGUE
from kdbg.triage.report import Kind, Outcome, Report, Severity
from kdbg.triage.views import FORMATS, view
from kdbg.triage.views.markdown import code, prose
from kdbg.triage.views.sarif import uri
from kdbg.triage.views.words import clean, file_name, line, size, span, when
from triage.reports import HOSTILE, as_known, deadlock, hostile
from triage.schemas import check_json, check_junit, check_sarif, their_complaints

LONG = "<b>" * 350_000
STRINGS = [*HOSTILE, pytest.param(LONG, id="a megabyte")]
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
CHECKS = {"json": check_json, "junit": check_junit, "sarif": check_sarif}
ELEMENTS = set(
    "html head meta title style body header nav section div span p a b h1 h2 h3 ul ol li dl dt dd code pre table tr th "
    "td small details summary footer svg rect line polygon text".split()
)
ATTRIBUTES = set(
    "class id lang dir href rel charset http-equiv content name width height x y x1 x2 y1 y2 rx points role aria-label "
    "text-anchor".split()
)


def healthy() -> Report:
    """A report of a system that did not fail."""
    found = deadlock()
    verdict = replace(found.verdict, kind=Kind.LIVE, sentence="nothing is wrong")
    return replace(found, verdict=verdict, findings=(), thread=None, locks=(), memory=None, log=(), notes=())


# All of them


@pytest.mark.parametrize("text", STRINGS, ids=ascii)
@pytest.mark.parametrize("form", FORMATS)
def test_nothing_of_a_dump_breaks_it(form: str, text: str) -> None:
    made = view(form)(hostile(text))
    made.encode()
    assert not CONTROLS.search(made)
    if form in CHECKS:
        CHECKS[form](made)
    if text and text != LONG and not text.isspace():
        assert "threads wait" in made or "wait for each other" in made  # what else is in the report is there


@pytest.mark.parametrize("form", FORMATS)
def test_a_text_of_a_megabyte_is_cut(form: str) -> None:
    made = view(form)(hostile(LONG))
    assert form == "json" or len(made) < 4 << 20


@pytest.mark.parametrize("form", FORMATS)
def test_a_healthy_system_and_an_empty_report(form: str) -> None:
    made = view(form)(healthy())
    assert "nothing is wrong" in made
    if form in CHECKS:
        CHECKS[form](made)


@pytest.mark.parametrize("schema", ["JUnit.xsd", "junit-10.xsd", "sarif-schema-2.1.0.json"])
@pytest.mark.parametrize("text", [None, *STRINGS[:-1]], ids=ascii)
def test_valid_by_their_schemas(schema: str, text: str | None) -> None:
    form = "sarif" if "sarif" in schema else "junit"
    reports = [deadlock(), as_known(deadlock()), healthy()] if text is None else [hostile(text)]
    assert [list(their_complaints(schema, view(form)(report))) for report in reports] == [[]] * len(reports)


# JSON


def test_json_has_the_records_by_their_names() -> None:
    told = check_json(view("json")(deadlock()))
    assert told["identity"]["file"] == "dumps/deadlock.core"
    assert told["findings"][0]["threads"] == ["0xffffff01d6f09c00", "0xffffff01d6f0a000"]
    assert told["thread"]["registers"]["rip"] == "0xfffffffffb85a1f1"
    assert told["verdict"] == {
        "kind": "deadlock",
        "sentence": "2 threads wait for each other's locks in a circle",
        "sure": "likely",
        "evidence": [{"text": "lock.cycle: init and bash", "command": "::locks"}],
    }


def test_json_has_no_numbers_that_are_none() -> None:
    found = deadlock()
    told = check_json(
        view("json")(replace(found, identity=replace(found.identity, time=float("nan"), uptime=float("inf"))))
    )
    assert (told["identity"]["time"], told["identity"]["uptime"]) == (None, None)


# JUnit


def outcomes(report: Report) -> dict[str | None, str | None]:
    """Case -> "failure", "error", "skipped", or None where it passed."""
    suites = check_junit(view("junit")(report))
    return {case.get("name"): case[0].tag if len(case) else None for case in suites[0].findall("testcase")}


def test_junit_has_a_case_for_the_verdict_and_each_analyser() -> None:
    assert outcomes(deadlock()) == {
        "verdict": "failure",
        "locks": "failure",
        "waits": None,
        "log": None,
        "memory": "skipped",
        "pages": "skipped",
        "queues": "error",
        "other findings": None,
    }


def test_junit_does_not_fail_for_what_is_known() -> None:
    found = outcomes(as_known(deadlock()))
    assert (found["verdict"], found["locks"], found["queues"]) == ("skipped", "skipped", "error")
    assert 'message="known issue: The old race https://example.org/17"' in view("junit")(as_known(deadlock()))


def test_junit_of_a_healthy_system_passes() -> None:
    done = replace(healthy(), analyses=tuple(one for one in healthy().analyses if one.outcome is Outcome.DONE))
    assert set(outcomes(done).values()) == {None}


def test_junit_tells_what_failed() -> None:
    suite = check_junit(view("junit")(deadlock()))[0]
    failure = suite.find("testcase[@name='locks']/failure")
    assert failure is not None
    assert failure.attrib == {"message": "init and bash wait for each other", "type": "lock.cycle"}
    assert "> ::locks" in (failure.text or "")
    assert "init has a, wants b" in (failure.text or "")
    assert "deadlock.core" in (suite.findtext("system-out") or "")


# SARIF


def test_sarif_has_the_catalogue_as_rules_and_findings_as_results() -> None:
    (run,) = check_sarif(view("sarif")(deadlock()))
    rules = {rule["id"]: rule["defaultConfiguration"]["level"] for rule in run["tool"]["driver"]["rules"]}
    assert {name: rules[name] for name in CATALOGUE} == {name: one.severity.value for name, one in CATALOGUE.items()}
    assert rules["acme.leak"] == "warning"  # a third party's
    found = [result["ruleId"] for result in run["results"]]
    assert found == ["verdict.deadlock", "lock.cycle", *["thread.blocked-long"] * 5, "log.warning", "acme.leak"]
    assert run["results"][1]["properties"]["command"] == "::locks"
    assert [one["message"]["text"] for one in run["invocations"][0]["toolExecutionNotifications"]] == [
        "pages: cut short: it took longer than 5 s",
        "queues: failed: internal error: KeyError: 'x'",
    ]


def test_sarif_gives_the_same_failure_elsewhere_the_same_fingerprint() -> None:
    one = deadlock()
    other = replace(one, identity=replace(one.identity, file="elsewhere", host="b"))
    moved = replace(
        other, findings=tuple(replace(each, summary=each.summary + "!", threads=(1,)) for each in other.findings)
    )

    def prints(report: Report) -> list[str]:
        (run,) = check_sarif(view("sarif")(report))
        return [result["partialFingerprints"]["kdbgSignature/v1"] for result in run["results"]]

    assert prints(one) == prints(moved)
    assert len(set(prints(one))) == 5  # the verdict, and four kinds of findings
    assert not set(prints(one)) & set(prints(replace(one, signature=replace(one.signature, digest="0" * 16))))


def test_sarif_suppresses_what_is_known() -> None:
    (run,) = check_sarif(view("sarif")(as_known(deadlock())))
    assert {result["suppressions"][0]["kind"] for result in run["results"]} == {"external"}
    (run,) = check_sarif(view("sarif")(deadlock()))
    assert not any("suppressions" in result for result in run["results"])


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("dumps/a b.core", "dumps/a%20b.core"),
        ("./dumps/../x", "x"),
        ("/var/crash/vmcore.0", "file:///var/crash/vmcore.0"),
        ("s3://bucket/a b", "s3://bucket/a%20b"),
        ("a:b", "a%3Ab"),
        ("\udcff", "%ED%B3%BF"),
    ],
)
def test_sarif_names_the_file_by_a_uri(file: str, shown: str) -> None:
    assert uri(file) == shown


# Markdown


class Elements(HTMLParser):
    """The elements of a page, with the names of their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def names(self) -> set[str]:
        return {name for name, _ in self.found}


def rendered(text: str) -> Elements:
    return Elements(MarkdownIt("gfm-like", {"html": True}).render(text))


ALLOWED = set("h2 h3 p strong code pre table thead tbody tr th td ul li blockquote details summary".split())


@pytest.mark.parametrize("text", STRINGS, ids=ascii)
def test_markdown_has_no_elements_of_a_dump(text: str) -> None:
    page = rendered(view("markdown")(hostile(text)))
    assert page.names() <= ALLOWED
    assert all(not set(attributes) - {"class", "style"} for _, attributes in page.found)


@pytest.mark.parametrize("text", [one for one in HOSTILE if one.isprintable() and one.strip()])
def test_markdown_shows_text_as_it_is(text: str) -> None:
    for made in (prose(text), code(text)):
        assert "".join(rendered(made).text).strip() == line(text)


def test_markdown_mentions_nobody() -> None:
    assert prose("@someone fixed #12") == "\\@<!-- -->someone fixed \\#<!-- -->12"


def test_markdown_tells_the_verdict_first() -> None:
    page = rendered(view("markdown")(as_known(deadlock())))
    text = "".join(page.text)
    assert text.startswith(
        "🔴 deadlock: dumps/deadlock.core\n2 threads wait for each other's locks in a circle (likely)\n"
    )
    assert "The old race" in text
    assert page.names() >= {"table", "details", "pre", "blockquote"}


# HTML


@pytest.mark.parametrize("text", [None, *STRINGS], ids=ascii)
def test_html_has_only_elements_of_its_own(text: str | None) -> None:
    page = Elements(view("html")(deadlock() if text is None else hostile(text)))
    assert page.names() <= ELEMENTS
    for name, attributes in page.found:
        assert set(attributes) <= ATTRIBUTES, name
        assert (attributes.get("href") or "#").startswith(("#", "https://"))
    assert sum(name == "style" for name, _ in page.found) == 1


def test_htmls_policy_allows_its_style_and_nothing_else() -> None:
    text = view("html")(deadlock())
    page = Elements(text)
    policy = next(told["content"] for name, told in page.found if told.get("http-equiv") == "Content-Security-Policy")
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style
    assert "@import" not in style
    assert text.index("Content-Security-Policy") < text.index("<title>")  # before anything out of the dump


def test_html_shows_everything() -> None:
    found = as_known(deadlock())
    text = "".join(Elements(view("html")(found)).text)
    for finding in found.findings:
        assert finding.name in text
        assert finding.summary in text
        assert (finding.command or "") in text
    for words in ("The old race", found.signature.digest, "movq (%rax),%rdi", "cut off: 256 pages", "BUG: bad thing",
                  "2008-01-10 21:20:00 UTC", "SunOS 5.11 onnv", "stack of 17: unreadable", "it took longer than 5 s",
                  "40 MiB of which the dump tells nothing", "43 threads, 3 stacks"):  # fmt: skip
        assert words in text


def test_html_names_the_threads_of_a_finding() -> None:
    text = "".join(Elements(view("html")(deadlock())).text)
    assert "threads: ffffff01d6f09c00 init/1, ffffff01d6f0a000 bash/2" in text
    assert "locks: ffffff01c0000000, ffffff01c0000040" in text


def test_html_links_a_known_issue_only_to_the_web() -> None:
    found = as_known(deadlock())
    bad = replace(found, known=(replace(found.known[0], link="javascript:alert(1)"),))
    assert any(told.get("href") == "https://example.org/17" for _, told in Elements(view("html")(found)).found)
    assert not any("javascript" in (told.get("href") or "") for _, told in Elements(view("html")(bad)).found)


# Text


@pytest.mark.parametrize("text", [None, *HOSTILE], ids=ascii)
def test_text_is_a_screenful_of_80_columns(text: str | None) -> None:
    lines = view("text")(deadlock() if text is None else hostile(text)).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 60


def test_text_tells_the_worst_first_and_what_is_alike_once() -> None:
    lines = view("text")(deadlock()).splitlines()
    told = "\n".join(lines)
    assert told.index("verdict") < told.index("thread ") < told.index("lock.cycle") < told.index("thread.blocked-long")
    assert told.count("thread.blocked-long") == 1
    assert "thread 0 waits (and 4 more)" in told
    assert "           (_resume_from_idle < swtch < turnstile_block)" in lines
    assert "           genunix`strread+0x10" in lines


def test_text_says_the_verdict_once() -> None:
    found = deadlock()
    found = replace(found, findings=(replace(found.findings[0], summary=found.verdict.sentence),))
    assert view("text")(found).count("2 threads wait for each other's locks") == 1
    assert "\nerror      lock.cycle\n           > ::locks\n" in view("text")(found)


def test_text_keeps_what_is_merely_good_to_know_for_the_end() -> None:
    assert "acme.leak" not in view("text")(deadlock())
    assert "... 1 finding more" in view("text")(deadlock())
    only = replace(deadlock(), findings=tuple(f for f in deadlock().findings if f.severity is Severity.NOTE))
    assert "acme.leak" in view("text")(only)


# Words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\xc3\xa9", "café"),
        ("caf\xe9", "caf\\351"),
        ("\u4e2d", "\u4e2d"),
        ("\x1b[31m", "\\033[31m"),
        ("a\u202eb", "a\\342\\200\\256b"),
        ("\ud800", "\\355\\240\\200"),
    ],
)
def test_texts_are_bytes_where_they_can_be(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_names_of_files_are_the_systems() -> None:
    assert file_name("dumps/café") == "dumps/café"
    assert file_name("\udcff") == "\\377"
    assert file_name("a\nb") == "a b"


@pytest.mark.parametrize("form", ["text", "junit", "markdown", "html"])
def test_bytes_of_a_dump_are_read_once_and_words_of_people_not_at_all(form: str) -> None:
    found = as_known(deadlock())
    found = replace(
        found,
        identity=replace(found.identity, file="d\xfcmp", host="caf\xc3\xa9"),
        known=(replace(found.known[0], name="M\xfcller"),),
    )
    made = view(form)(found)
    assert ["d\xfcmp" in made, "caf\xe9" in made, "M\xfcller" in made] == [True] * 3
    assert "\\3" not in made


def test_times_and_sizes() -> None:
    assert [span(seconds) for seconds in (0.25, 59, 3600, 90_000, float("nan"), -1)] == [
        "0.25 s", "59 s", "1 h", "1 d 1 h", "nan s", "-1 s",
    ]  # fmt: skip
    assert [size(count) for count in (0, 1023, 4096, 1 << 20, 5_996_544, 1 << 50)] == [
        "0 bytes", "1023 bytes", "4 KiB", "1 MiB", "5.7 MiB", "1024.0 TiB",
    ]  # fmt: skip
    assert when(1.2e9) == "2008-01-10 21:20:00 UTC"
    assert when(1e300) == "1e+300 s"
