"""`monitor doctor`: is this workspace fit to run? One line a check: what was found, and what to do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer
from rich.markup import escape

from monitor.console import err, out, print_json
from monitor.doctor.checks import checks_of
from monitor.doctor.examination import Finding, State, examine

COLOURS = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red"}


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
