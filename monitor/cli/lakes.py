"""`monitor lakes`: lakes, their history and their changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.console import hectares, out, print_json, say, season_name, table
from monitor.cli.options import DEMO, JsonOption, RegionOption, WorkspaceOption
from monitor.errors import RefusedError

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

lakes_app = typer.Typer(help="Lakes and their history.", no_args_is_help=True)


@lakes_app.command("list")
def list_lakes(
    region: RegionOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of lakes, largest first.")] = 20,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """List the known lakes, largest first."""
    show_lakes(workspace, region, limit, json=json)


@lakes_app.command()
def history(
    lake: Annotated[str, typer.Argument(help="Identity or code of the lake, or the beginning of one.")],
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the curve to this .png or .svg file.")
    ] = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Show every season of one lake: area with its error, or why it was not observed."""
    show_history(workspace, lake, picture, json=json)


@lakes_app.command()
def changes(
    start: Annotated[int, typer.Option("--from", help="Earlier season.")],
    end: Annotated[int, typer.Option("--to", help="Later season.")],
    region: RegionOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Include lakes without a significant change.")
    ] = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """List changes between two seasons that exceed their error."""
    show_changes(workspace, region, start, end, everything=everything, json=json)


def show_lakes(folder: Path, region: str | None, limit: int, *, json: bool) -> None:
    """Print known lakes, largest first."""
    from monitor.history.regions import check_region
    from monitor.workspace import Workspace, open_database
    from storage.copying import records
    from storage.history import lakes

    workspace = Workspace.open(folder)
    with open_database(workspace) as database, database.connect() as conn:
        check_region(conn, workspace, region)
        frame = lakes(conn, region)
    shown = frame.head(limit)
    if json:
        print_json(records(shown))
        return
    table(
        f"{len(shown)} of {len(frame)} lakes",
        "lake|code|region|>seasons with water|last|>area ha|>± 95 %|area of",
        [
            [
                str(r["lake_id"])[:8],
                r["code"],
                r["region"],
                str(r["seasons"]),
                _latest(r),
                hectares(r["area_m2"]),
                _half_interval(r),
                "-"
                if r["area_season"] is None
                else season_name(r["area_season"], r["kind"]) + _by_fewer(r["sensors"]),
            ]
            for r in records(shown)
        ],
    )


def _by_fewer(sensors: str | None) -> str:
    """The sensors that saw a lake, if not all did; spaces let a narrow column break the words."""
    from segmenter.manifest import SENSORS

    return "" if sensors in (None, "+".join(SENSORS)) else f" by {sensors.replace('+', ' + ')}"


def _latest(row: dict[str, Any]) -> str:
    """The latest answer about a lake, and whether it was looked for in vain since."""
    if row["outcome_season"] is None:
        return f"not observed {row['last_season']}"
    since = row["last_season"] > row["outcome_season"]
    return f"{row['outcome']} {row['outcome_season']}" + (
        f", not observed {row['last_season']}" if since else ""
    )


def show_history(folder: Path, lake: str, picture: Path | None = None, *, json: bool) -> None:
    """Print every current observation of one lake, and what happened to its identity.

    An identity that no current survey names is shown as the lake that is now in its place.

    Args:
        lake: the beginning of an identity or of a code.
        picture: also draw the curve there, as PNG or SVG.

    Raises:
        RefusedError: no such lake, several, or the picture cannot be written.
    """
    from monitor.report.curve.reading import find_lake, read_curve, trend_record
    from monitor.workspace import Workspace, open_database
    from storage.copying import records
    from storage.history import history, lineage_of

    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        found = find_lake(conn, lake)
        rows, events = history(conn, found.lake_id), lineage_of(conn, found.lake_id)
        curve = read_curve(conn, found.lake_id, found.code)
    if picture is not None:
        from monitor.report.curve.picture import write_curve

        write_curve(curve, picture)
    if json:
        print_json(
            {
                "lake_id": found.lake_id,
                "code": found.code,
                "observations": records(rows),
                "lineage": records(events),
                "trend": trend_record(curve),
                "renamed": found.renamed,
            }
        )
        return
    from monitor.report.curve.terminal import draw_curve

    if found.renamed is not None:
        out.print(found.renamed, style="yellow", highlight=False)
    out.print(draw_curve(curve, out.width, ascii_only=out.options.ascii_only), soft_wrap=True)
    out.print()
    table(
        f"{found.code}  {found.lake_id}",
        "season|outcome|>area ha|>± 95 %|>seen|days|source",
        [
            [
                str(r["season"]),
                f"{r['outcome']}: {r['reason']}"
                if r["outcome"] == "not observed"
                else r["outcome"] + _by_fewer(r["sensors"]),
                hectares(r["area_m2"]),
                _half_interval(r),
                "-" if r["seen_share"] is None else f"{r['seen_share']:.0%}",
                _days(r["first_day"], r["last_day"]),
                r["source"],
            ]
            for r in records(rows)
        ],
    )
    for event in records(events):
        other = "" if event["other_lake_id"] is None else f", with {event['other_lake_id']}"
        mine = "" if event["lake_id"] == found.lake_id else f" (of {event['lake_id']})"
        season = season_name(event["season"], event["survey_kind"])
        out.print(f"{season}: {event['kind']}{mine}{other}", highlight=False)
    if picture is not None:
        say(f"Picture: {picture}")


def show_changes(
    folder: Path, region: str | None, start: int, end: int, *, everything: bool, json: bool
) -> None:
    """Print significant changes, largest first."""
    from monitor.history.changes import changes_between, seasons_of, suspect_seasons
    from monitor.history.regions import check_region
    from monitor.workspace import Workspace, open_database
    from storage.copying import records

    if start >= end:
        raise RefusedError(f"--from {start} --to {end}: the first season must be the earlier one")
    workspace = Workspace.open(folder)
    wanted = [region] if region is not None else sorted(workspace.regions())
    with open_database(workspace) as database, database.connect() as conn:
        check_region(conn, workspace, region)
        # without a region, those that were surveyed in both seasons
        surveyed = {name: seasons_of(conn, name) for name in wanted}
        names = [name for name in wanted if {start, end} <= set(surveyed[name])] or wanted[:1]
        found = {name: changes_between(conn, name, start, end) for name in names}
        doubts = {name: suspect_seasons(conn, name, start, end) for name in names}
    shown = {name: _largest_first(frame, everything) for name, frame in found.items()}
    if json:
        rows = {name: records(frame.reset_index(names="lake_id")) for name, frame in shown.items()}
        print_json([{"region": name, **row} for name in names for row in rows[name]])
        return
    for name in names:
        by = " by the index" if surveyed[name][start] else ""
        _changes_table(f"{name}: changes {start} → {end}{by}", shown[name], start, end)
        counts = found[name].verdict.value_counts()
        out.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()), highlight=False)
        for season, why in doubts[name].items():
            out.print(f"{season} is suspect, its losses may be bad mapping: {why}", highlight=False)


def _largest_first(changes: pd.DataFrame, everything: bool) -> pd.DataFrame:
    from monitor.lakes.change import Verdict

    order = changes.change_m2.abs().sort_values(ascending=False, na_position="last").index
    shown = changes.loc[order]
    return shown if everything else shown[~shown.verdict.isin([Verdict.SAME, Verdict.NOT_OBSERVED])]


def _changes_table(title: str, changes: pd.DataFrame, start: int, end: int) -> None:
    from storage.copying import records

    table(
        title,
        f"lake|code|>{start} ha|>{end} ha|>change ha|verdict",
        [
            [
                str(r["lake_id"])[:8],
                r["code"],
                hectares(r["area_before_m2"]),
                hectares(r["area_after_m2"]),
                "-"
                if r["change_m2"] is None
                else f"{r['change_m2'] / 1e4:+.2f} ± {hectares(r['detection_limit_m2'])}",
                r["verdict"],
            ]
            for r in records(changes.reset_index(names="lake_id"))
        ],
    )


def _half_interval(row: dict[str, Any]) -> str:
    """Half of the 95 % interval of an area, hectares."""
    return hectares(None if row["area_high_m2"] is None else row["area_high_m2"] - row["area_m2"])


def _days(first: date | None, last: date | None) -> str:
    """First and last day of the images that show a lake, without the year."""
    if first is None or last is None:
        return "-"
    return f"{first:%m-%d}" if first == last else f"{first:%m-%d} to {last:%m-%d}"
