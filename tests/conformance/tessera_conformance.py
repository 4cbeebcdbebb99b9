"""A plugin of pytest that tells `cargo xtask conformance` what happens, line by line, so that nothing is lost when the process dies.

    TESSERA_EVENTS   file to which each event is added as a line of JSON:
                         {"start": ID}
                         {"end": ID, "outcome": "passed" | "failed" | "skipped" | "expected", "why": TEXT, "seconds": S}
                         {"finished": NUMBER OF TESTS COLLECTED}
    TESSERA_DONE     file with the tests that are not to be run again, one a line
    TESSERA_CLAIMS   directory in which processes that share a suite claim files of tests, one file each
    TESSERA_SLOT     name of this process there; the one that takes its place has the same
    TESSERA_FRESH    where set, a test that fails ends the process, and another goes on: a fault of the device stays with its process

A test that the suite itself expects to fail, and that does, is "expected".
"""

import hashlib
import itertools
import json
import os
import time
from pathlib import Path

import pytest

WHY_BYTES = 2000


def tell(**event):
    with open(os.environ["TESSERA_EVENTS"], "a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def claim(module):
    """Whether the tests of a file are ours to run."""
    place = Path(os.environ["TESSERA_CLAIMS"], hashlib.sha256(module.encode()).hexdigest())
    slot = os.environ["TESSERA_SLOT"]
    try:
        with open(place, "x", encoding="utf-8") as file:
            file.write(slot)
        return True
    except FileExistsError:
        return place.read_text(encoding="utf-8") == slot


def reason(report):
    """Why a test did not pass: of a skipped one what the suite says, else the last lines of what went wrong."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail)
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash is not None else str(report.longrepr or "")
    return text if len(text) <= WHY_BYTES else text[: WHY_BYTES // 2] + "\n...\n" + text[-WHY_BYTES // 2 :]


class Teller:
    def __init__(self):
        self.collected = 0
        self.reports = []

    def pytest_collectreport(self, report):
        if report.failed or (report.skipped and isinstance(report, pytest.CollectReport) and report.nodeid.endswith(".py")):
            outcome = "failed" if report.failed else "skipped"
            if claim(report.nodeid):
                tell(end=report.nodeid, outcome=outcome, why=reason(report), seconds=0)

    def pytest_runtest_logreport(self, report):
        self.reports.append(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        done = set(Path(os.environ["TESSERA_DONE"]).read_text(encoding="utf-8").splitlines())
        self.collected = len(session.items)
        if session.config.option.collectonly:
            return True
        for module, items in itertools.groupby(session.items, key=lambda item: item.nodeid.split("::")[0]):
            if not claim(module):
                continue
            items = [item for item in items if item.nodeid not in done]
            for item, following in itertools.zip_longest(items, items[1:]):
                self.run(item, following)
        tell(finished=self.collected)
        return True

    def run(self, item, following):
        tell(start=item.nodeid)
        self.reports = []
        begin = time.monotonic()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        outcome, why = "passed", ""
        for report in self.reports:
            if report.failed:
                outcome, why = "failed", reason(report)
                break
            if report.skipped:
                outcome = "expected" if hasattr(report, "wasxfail") else "skipped"
                why = reason(report)
        tell(end=item.nodeid, outcome=outcome, why=why, seconds=round(time.monotonic() - begin, 3))
        if outcome == "failed" and "TESSERA_FRESH" in os.environ:
            os._exit(1)


def pytest_configure(config):
    config.pluginmanager.register(Teller(), "tessera-teller")
