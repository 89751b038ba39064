"""Counts what `bazel test` left behind.

Usage: results.py TESTLOGS TALLY TARGET...

Reads TESTLOGS/PACKAGE/NAME/**/test.xml of each TARGET (//PACKAGE:NAME), prints failures and skips with their reasons,
and what failed in a first attempt and passed in the second, and adds `PASSED FAILED SKIPPED` as a line to the file TALLY. A target that left no readable report counts as one failure: a
test that did not run has not passed.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree


def reason_of(case, tag):
    """The first lines of a <failure> or <skipped> element, on one line."""
    element = case.find(tag)
    if element is None:
        return ""
    text = element.get("message") or element.text or ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # GoogleTest puts FILE:LINE and a heading before what the test itself said.
    lines = [line for line in lines if line not in ("Failed", "Skipped")]
    return " ".join(lines[:4])


def outcomes(report):
    """Yields (name, outcome, reason) of each test case in one report."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    if len(cases) == 1 and not cases[0].get("classname"):
        # Bazel's own report, of a test that writes none.
        logged = list(outcomes_in_log(report.with_suffix(".log")))
        if logged:
            yield from logged
            if cases[0].find("error") is not None and not any(outcome == "failed" for _, outcome, _ in logged):
                yield cases[0].get("name"), "failed", "did not end normally"
            return
    for case in cases:
        name = "%s.%s" % (case.get("classname"), case.get("name")) if case.get("classname") else case.get("name")
        if case.find("failure") is not None:
            yield name, "failed", reason_of(case, "failure")
        elif case.find("error") is not None:
            yield name, "failed", "did not end normally"
        elif case.find("skipped") is not None or case.get("result") == "skipped":
            yield name, "skipped", reason_of(case, "skipped")
        elif case.get("status") != "notrun":
            yield name, "passed", ""


def outcomes_in_log(log):
    """The same from what GoogleTest prints."""
    words = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
    said = []
    for line in log.read_text(errors="replace").splitlines():
        ended = re.match(r"\[ +(OK|FAILED|SKIPPED) +\] (\S+?),? .*\(\d+ ms\)$", line)
        if ended:
            yield ended.group(2), words[ended.group(1)], " ".join(said[:4]) if ended.group(1) != "OK" else ""
        if ended or line.startswith("[ RUN "):
            said = []
        elif line.strip():
            said.append(line.strip())


def unsteady(report):
    """The cases of a test that failed before the attempt that this report is of."""
    for attempt in sorted(report.parent.glob("test_attempts/attempt_*.xml")):
        if attempt.stat().st_mtime < report.stat().st_mtime - 3600:
            continue  # of an earlier run
        try:
            yield from ((case, reason) for case, outcome, reason in outcomes(attempt) if outcome == "failed")
        except ElementTree.ParseError:
            yield str(attempt), "unreadable report"


def main(testlogs, tally, targets):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for target in targets:
        package, name = target[2:].split(":")
        reports = sorted(pathlib.Path(testlogs, package, name).glob("**/test.xml"))
        found = []
        try:
            found = [outcome for report in reports for outcome in outcomes(report)]
        except ElementTree.ParseError as error:
            found = [(target, "failed", "unreadable report: %s" % error)]
        if not found:
            found = [(target, "failed", "left no report")]
        for report in reports:
            for case, reason in unsteady(report):
                print("  unsteady: %s %s: failed at first: %s" % (target, case, reason))
        for case, outcome, reason in found:
            counts[outcome] += 1
            if outcome != "passed":
                print("  %s: %s %s%s" % (outcome, target, case, ": " + reason if reason else ""))
    with open(tally, "a") as file:
        file.write("%(passed)d %(failed)d %(skipped)d\n" % counts)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
