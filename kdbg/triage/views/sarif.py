"""A report as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), for code scanning and its kin.

The rules are the catalogue's findings and the verdicts; a result is the verdict of a system that failed, and each
finding. A known issue is a suppression of its results. Fingerprints come from the signature, so that the same failure
of another run is the same alert.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kdbg import __version__
from kdbg.triage.catalogue import CATALOGUE
from kdbg.triage.report import Analysis, Finding, Kind, Outcome, Report, Severity, StackFrame
from kdbg.triage.views.words import clean, known_words, line

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
VERDICTS = {
    Kind.PANIC: "the kernel panicked",
    Kind.CRASH: "the process was ended by a signal",
    Kind.DEADLOCK: "threads wait for each other",
    Kind.HANG: "the system made no progress",
    Kind.OUT_OF_MEMORY: "memory ran out",
    Kind.KILLED: "the hypervisor killed the domain",
}
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
MOST_OF_NAME = 4096
"""Characters: no system opens a file with a longer one."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

Json = dict[str, Any]


def render(report: Report) -> str:
    """The report as a log with one run."""
    return document([report])


def document(reports: Sequence[Report]) -> str:
    """A log with a run for each report."""
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(report) for report in reports]}
    return json.dumps(log, indent=1, allow_nan=False) + "\n"


def _run(report: Report) -> Json:
    rules = _rules(report)
    places = {rule["id"]: number for number, rule in enumerate(rules)}
    results = [] if report.verdict.kind not in VERDICTS else [_verdict(report, places)]
    results += [_result(report, finding, places) for finding in report.findings]
    if report.known:
        word = " ".join(known_words(report.known[0])[:2])
        for result in results:
            result["suppressions"] = [{"kind": "external", "justification": word}]
    notices = [_notice(one) for one in report.analyses if one.outcome in (Outcome.FAILED, Outcome.CUT_SHORT)]
    return {
        "tool": {"driver": {"name": "kdbg", "version": __version__, "semanticVersion": __version__, "rules": rules}},
        "automationDetails": {"id": f"kdbg/triage/{line(report.signature.digest)}"},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notices}],
        "artifacts": [{"location": {"uri": uri(report.identity.file)}, "roles": ["analysisTarget"]}],
        "results": results,
        "properties": {
            "verdict": report.verdict.kind.value,
            "sentence": line(report.verdict.sentence),
            "sure": report.verdict.sure.value,
            "signature": line(report.signature.digest),
            "kernel": line(report.identity.kernel or ""),
        },
    }


def uri(file: str) -> str:
    """The file as a reference: relative as it was given, else ``file:``; URLs stay, with what is odd in them quoted."""
    file = file[:MOST_OF_NAME]
    if _URL.match(file):
        return quote(file.encode("utf-8", "surrogatepass"), safe="/:?#[]@!$&'()*+,;=%~")
    path = quote(Path(os.path.normpath(file)).as_posix().encode("utf-8", "surrogatepass"))
    return f"file://{path}" if path.startswith("/") else path


def _rules(report: Report) -> list[Json]:
    rules = [_rule(f"verdict.{kind.value}", words, "error") for kind, words in VERDICTS.items()]
    rules += [_rule(name, entry.meaning, LEVELS[entry.severity]) for name, entry in CATALOGUE.items()]
    known = {rule["id"] for rule in rules}
    others = dict.fromkeys(line(finding.name) for finding in report.findings)
    return rules + [
        _rule(name, "a finding of an analyser of somebody else's", "warning") for name in others if name not in known
    ]


def _rule(name: str, meaning: str, level: str) -> Json:
    return {
        "id": name,
        "shortDescription": {"text": meaning[:1].upper() + meaning[1:] + "."},
        "defaultConfiguration": {"level": level},
    }


def _verdict(report: Report, places: dict[str, int]) -> Json:
    found = report.verdict
    made = _base(report, f"verdict.{found.kind.value}", "error", found.sentence, places, "")
    made["properties"] = {"evidence": [line(fact.text) for fact in found.evidence]}
    thread = report.thread
    if thread is not None and thread.stack:
        made["locations"][0]["logicalLocations"] = [
            {"name": line(frame.function or ""), "fullyQualifiedName": line(frame.text), "kind": "function"}
            for frame in _first(report, thread.stack)
        ]
        words = line(f"{thread.name} {thread.address:#x}: {thread.how}")
        made["stacks"] = [{"message": {"text": words}, "frames": [_frame(frame) for frame in thread.stack]}]
    return made


def _first(report: Report, stack: Sequence[StackFrame]) -> list[StackFrame]:
    """The frame that the signature begins with."""
    chosen = report.signature.frames[:1]
    return [frame for frame in stack if frame.function and frame.function.startswith(chosen)][:1] if chosen else []


def _frame(frame: StackFrame) -> Json:
    where: Json = {"location": {"logicalLocations": [{"fullyQualifiedName": line(frame.text)}]}}
    if frame.module:
        where["module"] = line(frame.module)
    return where


def _result(report: Report, finding: Finding, places: dict[str, int]) -> Json:
    # What tells two alerts apart: not the sentence, which has addresses in it.
    made = _base(report, line(finding.name), LEVELS[finding.severity], finding.summary, places, finding.name)
    told: Json = {"evidence": [line(fact.text) for fact in finding.evidence]}
    if finding.command:
        told["command"] = line(finding.command)
    for name in ("threads", "locks", "addresses"):
        if getattr(finding, name):
            told[name] = [f"{one:#x}" for one in getattr(finding, name)]
    made["properties"] = told
    return made


def _base(report: Report, rule: str, level: str, sentence: str, places: dict[str, int], what: str) -> Json:
    digest = hashlib.sha256(f"{report.signature.digest} {what}".encode("utf-8", "replace")).hexdigest()[:16]
    # Code scanning wants a line of a file for every result, and has no other word for a whole file.
    place = {"artifactLocation": {"uri": uri(report.identity.file), "index": 0}, "region": {"startLine": 1}}
    return {
        "ruleId": rule,
        "ruleIndex": places[rule],
        "level": level,
        "message": {"text": _message(sentence)},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"kdbgSignature/v1": digest, "primaryLocationLineHash": f"{digest}:1"},
    }


def _message(sentence: str) -> str:
    r"""Plain text in which nothing is a link (``[words](place)``) or a placeholder (``{0}``); section 3.11."""
    return re.sub(r"([\\\[\]])", r"\\\1", clean(sentence)).replace("{", "{{").replace("}", "}}") or "(no words)"


def _notice(one: Analysis) -> Json:
    level = "error" if one.outcome is Outcome.FAILED else "warning"
    return {"level": level, "message": {"text": _message(f"{one.name}: {one.outcome.value}: {one.why}")}}
