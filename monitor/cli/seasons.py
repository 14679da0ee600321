"""`monitor run`, `redo`, `backfill` and `plan`: seasons of regions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.console import err, out, print_json, progress_of, say, styled, table
from monitor.cli.options import DEMO, JsonOption, RegionOption, SeasonOption, WorkspaceOption

if TYPE_CHECKING:
    from monitor.operations.runs import Outcome
    from monitor.plan import Redo
    from monitor.run import Report
    from monitor.workspace import Workspace


def run(
    season: SeasonOption = None,
    region: RegionOption = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Bring one season up to date."""
    from monitor.settings import season_or_this

    year = season_or_this(season)
    bring_up_to_date(workspace, region, [year], f"run --season {year}", json=json)


def redo(
    region: Annotated[str, typer.Option("--region", "-r", help="Region of the settings.")],
    season: Annotated[int, typer.Option("--season", "-s", help="Year of the late summer.")],
    tile: Annotated[str | None, typer.Option(help="Only this tile, by its name in `monitor plan`.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only tiles whose explanation in `monitor plan` has this text.")
    ] = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Do finished tiles of a season again, also empty ones; without --tile and --reason, all of them.

    Nothing is deleted: the tiles keep their keys, and if their layers are the same, so is the history.
    """
    from monitor.plan import Redo
    from monitor.settings import parse_years

    chosen = {"--tile": tile, "--reason": reason}
    options = "".join(f" {name} {shlex.quote(value)}" for name, value in chosen.items() if value is not None)
    command = f"redo --region {shlex.quote(region)} --season {season}{options}"
    (year,) = parse_years(str(season))
    bring_up_to_date(workspace, region, [year], command, json=json, redo=Redo(tile, reason))


def backfill(
    years: Annotated[str, typer.Option("--years", help="For example 2017-2023, or 2017,2019-2021.")],
    region: RegionOption = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Bring a range of seasons up to date, oldest first; finished tiles are not repeated."""
    from monitor.settings import parse_years

    bring_up_to_date(
        workspace, region, parse_years(years), f"backfill --years {years}", json=json, urgent=False
    )


def plan(
    season: Annotated[
        str, typer.Option("--season", "-s", "--years", help="2021, 2017-2023, or 2017,2019-2021.")
    ],
    region: RegionOption = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Show what a run would do with every tile, and why, without doing it."""
    from monitor.history.regions import refuse_other_name
    from monitor.plan import size_of
    from monitor.run import plan_season
    from monitor.settings import parse_years
    from monitor.workspace import Workspace, open_system
    from segmenter.manifest import name_of

    years = parse_years(season)
    opened = Workspace.open(workspace)
    names = opened.region_names(region)
    opened.refuse_future(names, years)
    print_size(opened, names, len(years))
    with open_system(opened) as system:
        with system.database.connect() as conn:
            for name in names:
                refuse_other_name(conn, opened, name)
        seasons = [
            (name, year, plan_season(system, opened.region(name), year, progress_of(f"{name} {year}")))
            for name in names
            for year in years
        ]
        rows: list[dict[str, Any]] = [
            {
                "region": name,
                "season": year,
                "tile": entry.task.tile.name,
                "action": entry.action.value,
                "why": [why.plain for why in entry.explanations],
                "sensors": name_of(entry.task.used),
                "scenes": [s.id for s in (*entry.task.scenes.optical, *entry.task.scenes.radar)],
                "refused": [{"item": item, **why.plain} for item, why in entry.task.scenes.refused],
                "key": entry.task.key,
            }
            for name, year, planned in seasons
            for entry in planned
        ]
    if json:
        print_json(rows)
        return
    shown = ("region", "season", "tile", "action")
    cells = [
        [*(str(row[name]) for name in shown), "; ".join(why["reason"] for why in row["why"])] for row in rows
    ]
    table("What a run would do", "|".join((*shown, "why")), cells)
    say(f"To predict: {size_of(entry for _, _, planned in seasons for entry in planned)}")


def print_size(workspace: Workspace, names: Sequence[str], seasons: int) -> None:
    """Print the size of the work on the error stream, before the archive is searched or read."""
    from monitor.plan import season_size

    size = season_size([workspace.region(name).zone for name in names], workspace.settings.tile_size)
    often = "one season" if seasons == 1 else f"each of {seasons} seasons"
    err.print(f"{', '.join(names)}, {often}: {size}", highlight=False, soft_wrap=True)


def bring_up_to_date(
    folder: Path,
    region: str | None,
    years: list[int],
    command: str,
    *,
    json: bool = False,
    redo: Redo | None = None,
    urgent: bool = True,
) -> None:
    """Run `years` of one or all regions; exit code 1 when a tile failed or nothing was observed."""
    from monitor.operations.runs import run_seasons, seasons_of
    from monitor.workspace import Workspace, open_system

    workspace = Workspace.open(folder)
    names = workspace.region_names(region)
    workspace.refuse_future(names, years)
    if redo is None:
        print_size(workspace, names, len(years))
    with open_system(workspace) as system:
        wanted = seasons_of(names, years)
        outcome = run_seasons(system, wanted, command, progress_of, redo, urgent=urgent)
    if json:
        print_json([asdict(report) for report in outcome.reports])
    else:
        print_outcome(outcome)
    if any(report.failed or report.unobserved for report in outcome.reports):
        raise typer.Exit(1)


def print_outcome(outcome: Outcome) -> None:
    """Print a line for each season, and the surveys that are still stale."""
    from monitor.operations.runs import stale_words

    for report in outcome.reports:
        print_report(report)
    for line in stale_words(outcome.stale):
        err.print(f"  {line}", highlight=False)


def print_report(report: Report) -> None:
    """Print the tiles of a season by state, the reasons of those that are empty or failed, and why the season
    is suspect."""
    out.print(report.summary)
    if report.sensors is not None:
        out.print(f"  {report.sensors}", highlight=False)
    for reason, count in report.reasons.items():
        err.print(f"  {count} tile(s): {reason}", highlight=False)
    name = f"{report.region} {report.season}"
    if report.suspect is not None:
        err.print(styled("  ", (f"{name} is suspect: {report.suspect}", "bold red")), soft_wrap=True)
    if report.advice is not None:
        err.print(styled("  ", (name, "bold red"), f": {report.advice}"))
