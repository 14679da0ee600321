"""Commands that work: run, backfill, plan, import, export. Each opens the workspace, works and prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from monitor.console import ProgressWatch, err, out, print_json, progress_bar, table
from monitor.errors import RefusedError
from monitor.run import Report, plan_season, retell, run_season
from monitor.settings import Workspace
from monitor.system import System, open_database, open_system

if TYPE_CHECKING:
    from monitor.inventory.importing import Imported

#: repaired geometries that a person is told of one by one
REPAIRS_SHOWN = 10


def region_names(workspace: Workspace, region: str | None) -> list[str]:
    """The region asked for, or all of the workspace."""
    if region is None:
        return sorted(workspace.regions())
    workspace.region(region)  # refuses an unknown one before anything starts
    return [region]


def seasons(folder: Path, region: str | None, years: list[int], command: str, *, json: bool = False) -> None:
    """Bring `years` of one or all regions up to date; exit code 1 when a tile failed or nothing was seen."""
    workspace = Workspace.open(folder)
    names = region_names(workspace, region)
    with open_system(workspace) as system:
        reports = work_seasons(system, names, years, command)
    if json:
        print_json([asdict(report) for report in reports])
    else:
        for report in reports:
            say_report(report)
    if any(report.failed or report.blind for report in reports):
        raise typer.Exit(1)


def work_seasons(system: System, names: list[str], years: list[int], command: str) -> list[Report]:
    """Run the seasons one after the other, noted in the ledger as one run."""
    from monitor.cluster import Workers
    from storage import ledger
    from storage.codes import RunOutcome

    system.profile  # noqa: B018 - a model that does not fit is refused before a run is noted
    workers = Workers(system.workspace.settings.cluster)
    with system.database.begin() as conn:
        run_id = ledger.start_run(conn, command, system.workspace.settings.model_dump(mode="json"))
    reports: list[Report] = []
    outcome = RunOutcome.FAILED
    try:
        with workers as pool:
            for name in names:
                for year in years:
                    watch = ProgressWatch(f"{name} {year}")
                    reports.append(run_season(system, pool, name, year, watch, run_id))
            with err.status("later seasons"):
                retold = retell(system)
            say_left([(survey.region, survey.season) for survey in retold.left])
        if not any(report.failed for report in reports):
            outcome = RunOutcome.DONE
    finally:
        counts = {f"{report.region} {report.season}": report.tiles for report in reports}
        with system.database.begin() as conn:
            ledger.finish_run(conn, run_id, outcome, counts)
    return reports


def say_left(left: Sequence[tuple[str, int]]) -> None:
    """Seasons that an earlier one has changed, but that cannot be drawn again from here."""
    for region, season in left:
        run = f"monitor run --region {region} --season {season}"
        err.print(
            f"  {region} {season} was drawn before an earlier season arrived and has to be told again, but "
            f"this workspace has not the region or not its layers: run `{run}` where they are.",
            highlight=False,
        )


def say_report(report: Report) -> None:
    """One line a season, and a line for every reason that something is missing."""
    tiles = ", ".join(f"{count} {state}" for state, count in sorted(report.tiles.items()))
    if report.nothing_new:
        out.print(f"{report.region} {report.season}: nothing to do, every tile was done before ({tiles})")
    else:
        out.print(f"{report.region} {report.season}: {tiles}")
    for reason, count in report.reasons.items():
        err.print(f"  {count} tile(s): {escape(reason)}", highlight=False)
    if report.failed:
        err.print(
            f"  [bold red]{report.region} {report.season}[/]: some tiles failed; the others are recorded. "
            "Run the same command again to retry them."
        )
    elif report.blind:
        err.print(
            f"  [bold red]{report.region} {report.season}[/]: nothing could be seen: no lake was observed. "
            "`monitor plan` shows the scenes; run again when new ones have arrived."
        )


def show_plan(folder: Path, region: str | None, years: list[int], *, json: bool = False) -> None:
    """What a run would do with every tile, and why."""
    workspace = Workspace.open(folder)
    names = region_names(workspace, region)
    with open_system(workspace) as system:
        rows: list[dict[str, Any]] = [
            {
                "region": name,
                "season": year,
                "tile": entry.task.tile.name,
                "action": entry.action.value,
                "why": entry.task.impossible or entry.why,
                "scenes": [s.id for s in (*entry.task.scenes.optical, *entry.task.scenes.radar)],
                "refused": [{"item": item, "why": why} for item, why in entry.task.scenes.refused],
                "key": entry.task.key,
            }
            for name in names
            for year in years
            for entry in plan_season(system, workspace.region(name), year)
        ]
    if json:
        print_json(rows)
        return
    shown = ("region", "season", "tile", "action", "why")
    table("What a run would do", "|".join(shown), [[str(row[name]) for name in shown] for row in rows])


def import_file(
    folder: Path,
    file: Path,
    year: int | None,
    region: str | None,
    mapping_name: str | None,
    overrides: dict[str, Any],
    *,
    json: bool = False,
) -> None:
    """Import an inventory, every season of it or one, and say what came of it."""
    from monitor.inventory.importing import tell_inventory
    from monitor.inventory.lakes import read_inventory, years_of
    from monitor.inventory.mapping import read_mapping

    workspace = Workspace.open(folder)
    names = region_names(workspace, region)
    if len(names) != 1:
        raise RefusedError(f"--region: say which region the inventory belongs to: {', '.join(names)}")
    mapping = read_mapping(mapping_name, overrides)
    with err.status(f"reading {file.name}"):
        polygons = read_inventory(file, mapping)
    years = [year] if year is not None else years_of(polygons, mapping)
    if not years:
        raise RefusedError(
            f"--year: say which season {file.name} shows; for a file of several, --year-column or --mapping"
        )
    place = workspace.region(names[0])
    results = []
    with open_system(workspace) as system, progress_bar() as progress:
        for season in progress.track(years, description=f"importing {file.name}"):
            imported = tell_inventory(
                system.database, file, region=place, season=season, mapping=mapping, polygons=polygons
            )
            results.append(imported)
        # once for all of them: a season drawn from the cube anew for every year would take hours
        results[-1] = results[-1].then(retell(system))
    if json:
        print_json([result.as_json() for result in results])
        return
    for result in results:
        _say_import(file, result)


def _say_import(file: Path, result: Imported) -> None:
    if not result.changed:
        out.print(f"{file.name}, {result.season}: imported before, nothing changed ({result.lakes} lakes)")
        return
    out.print(
        f"{file.name}, {result.season}: {result.lakes} lakes, {result.minted} of them new to the history; "
        f"{result.repaired} geometries repaired, {result.duplicates} exact duplicates left out"
    )
    for repair in result.repairs[:REPAIRS_SHOWN]:
        name = f" ({repair.label})" if repair.label else ""
        err.print(f"  row {repair.row}{name} repaired: {repair.what}", highlight=False)
    if result.repaired > REPAIRS_SHOWN:
        err.print(f"  ... and {result.repaired - REPAIRS_SHOWN} more; --json lists them all")
    if result.suspect:
        err.print(f"  [bold red]{result.season} is suspect[/]: {result.suspect}. Its losses raise no alarms.")
    if result.retold:
        told = ", ".join(f"{region} {season}" for region, season in result.retold)
        out.print(f"  told again, since this season came before them: {told}", highlight=False)
    say_left(result.left)


def export_queue(
    folder: Path, target: Path, region: str | None, season: int | None, *, explained: bool, json: bool
) -> None:
    """Write the review queue to a folder."""
    from monitor.review import export

    workspace = Workspace.open(folder)
    with open_system(workspace) as system:
        written = export(system, target, region, season, explained=explained)
    if json:
        print_json({"folder": target, "chips": written})
    else:
        out.print(f"{written} entries of the review queue in {target}")


def upgrade(folder: Path) -> None:
    """Migrate the database."""
    from storage.database import Database

    workspace = Workspace.open(folder)
    url = workspace.settings.database.url
    if url is None:
        with open_database(workspace):
            out.print("The workspace's own database is up to date.")
        return
    database = Database(url)
    database.upgrade()
    out.print(f"{database.shown_url} is up to date.")
    database.dispose()
