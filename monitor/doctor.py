"""`monitor doctor`: is this workspace fit to run? One line a check: what was found, and what to do."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue

import typer
from rich.markup import escape

from monitor.console import err, out, print_json
from monitor.errors import MonitorError
from monitor.signing import unsigned
from segmenter.errors import SegmenterError
from storage.errors import StorageError

#: who asks, and with which word, in an address with a password
_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


COLOURS = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red"}


@dataclass(frozen=True)
class Finding:
    """What one check found; `remedy` says what to do where something is wrong."""

    check: str
    state: State
    found: str
    remedy: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Check:
    """One look at one thing: None where there is nothing to look at, for something before it is broken."""

    name: str
    look: Callable[[], Finding | None]
    #: what to do when it does not answer
    remedy: str


def show_doctor(
    folder: Path,
    region: str | None,
    compare: str | None,
    compare_location: str | None,
    timeout: float,
    *,
    json: bool,
) -> None:
    """Run every check and print a line as each answers; exit code 1 when there is a problem."""
    from monitor.doctor_checks import checks_of

    checks = checks_of(folder, region, compare, compare_location)
    findings = []
    with err.status("looking"):
        for finding in examine(checks, timeout):
            findings.append(finding)
            if not json:
                _say(finding)
    if json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.state == State.PROBLEM for finding in findings):
        raise typer.Exit(1)


def _say(finding: Finding) -> None:
    colour = COLOURS[finding.state]
    line = f"[{colour}]{finding.state.value:8}[/] [bold]{finding.check:17}[/] {escape(finding.found)}"
    out.print(line, highlight=False, soft_wrap=True)
    if finding.remedy and finding.state != State.OK:
        out.print(f"{'':27}→ {escape(finding.remedy)}", highlight=False, soft_wrap=True)


def examine(groups: Sequence[Sequence[Check]], timeout: float) -> Iterator[Finding]:
    """What the checks find, in order. Groups run side by side, the checks of a group one after the other.

    A check that says nothing for `timeout` seconds is a problem, and ends its group.
    """
    answers: list[SimpleQueue[Finding | None]] = []
    for group in groups:
        queue: SimpleQueue[Finding | None] = SimpleQueue()
        # a thread that never comes back must not keep the process alive
        threading.Thread(target=_work, args=(group, queue), daemon=True).start()
        answers.append(queue)
    for group, queue in zip(groups, answers, strict=True):
        for check in group:
            try:
                finding = queue.get(timeout=timeout)
            except Empty:
                said = f"no answer within {timeout:g} s"
                yield Finding(check.name, State.PROBLEM, said, check.remedy, timeout)
                break
            if finding is not None:
                yield finding


def _work(group: Sequence[Check], answers: SimpleQueue[Finding | None]) -> None:
    for check in group:
        start = time.perf_counter()
        finding = _looked(check)
        if finding is not None:
            finding = replace(
                finding,
                found=_discreet(finding.found),
                remedy=_discreet(finding.remedy),
                seconds=round(time.perf_counter() - start, 3),
            )
        answers.put(finding)


def _looked(check: Check) -> Finding | None:
    try:
        return check.look()
    except (MonitorError, StorageError, SegmenterError) as error:
        return Finding(check.name, State.PROBLEM, str(error))  # these say themselves what to do
    except Exception as error:  # one check that breaks must not hide the others
        return Finding(check.name, State.PROBLEM, f"{type(error).__name__}: {error}", check.remedy)


def _discreet(text: str) -> str:
    """`text` without signatures, names and passwords in its addresses."""
    return _LOGIN.sub("***@", unsigned(text))
