"""`monitor doctor`: checks of an installation, one line each."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.console import err, out, print_json, styled
from monitor.cli.options import DEMO, JsonOption, RegionOption, WorkspaceOption

if TYPE_CHECKING:
    from monitor.doctor.examination import Finding

COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(
    region: RegionOption = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Profile of a second catalogue to compare reflectance with, such as earth-search."),
    ] = None,
    compare_location: Annotated[
        str | None,
        typer.Option(help="Folder or URL of the second catalogue, if not the address in its profile."),
    ] = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also read every chunk of the cube and every page of the database."),
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Most seconds for one check.")] = 120,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Check that this workspace can run: settings, model, catalogue, offsets, database, machine.

    Tiles that --deep finds damaged are marked as failed, so that the next run does them again.
    """
    from monitor.doctor.checks import checks_of
    from monitor.doctor.examination import State, examine

    checks = checks_of(workspace, region, compare, compare_location, deep=deep)
    findings = []
    with err.status("checking"):
        for finding in examine(checks, timeout):
            findings.append(finding)
            if not json:
                _print_finding(finding)
    if json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.state == State.PROBLEM for finding in findings):
        raise typer.Exit(1)


def _print_finding(finding: Finding) -> None:
    colour = COLOURS[finding.state]
    line = styled(
        (f"{finding.state.value:8}", colour), " ", (f"{finding.check:17}", "bold"), f" {finding.found}"
    )
    out.print(line, highlight=False, soft_wrap=True)
    if finding.remedy and finding.state != "ok":
        out.print(f"{'':27}→ {finding.remedy}", highlight=False, soft_wrap=True)
