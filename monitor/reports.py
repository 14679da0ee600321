"""Commands that only read: status, lakes, history, changes, the review queue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.console import hectares, out, print_json, records, table
from monitor.errors import RefusedError
from monitor.settings import Workspace
from monitor.system import open_database

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd
    from sqlalchemy import Connection


def show_status(folder: Path, region: str | None, *, json: bool) -> None:
    """One row a region and season."""
    from dataclasses import asdict

    from storage.status import status

    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        rows = status(conn, region)
    if json:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        out.print("Nothing has been run yet: `monitor run --season YEAR` begins.")
        return
    table(
        "Status",
        "region|season|tiles|>lakes|>not observed|last seen|>to review",
        [
            [
                row.region,
                _season(row.season, row.kind),
                ", ".join(f"{count} {state}" for state, count in sorted(row.tasks.items())) or "-",
                str(row.lakes),
                str(row.not_observed),
                str(row.last_seen or "-"),
                str(row.open_flags),
            ]
            for row in rows
        ],
    )
    for row in rows:
        if row.suspect:
            out.print(f"{row.region} {row.season} is suspect: {row.suspect}", highlight=False)
        for why in row.reasons:
            out.print(
                f"{row.region} {row.season}: {why.tasks} tile(s) {why.state}: {why.reason}", highlight=False
            )


def show_inventories(folder: Path, region: str | None, *, json: bool) -> None:
    """Imported inventories, season by season."""
    from storage.inventories import standing

    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        rows = records(standing(conn, region))
    if json:
        print_json(rows)
        return
    if not rows:
        out.print("No inventory has been imported: `monitor inventory import FILE --year YEAR` begins.")
        return
    table(
        "Inventories",
        "region|season|source|>lakes|complete|>pixel m|file",
        [
            [
                r["region"],
                str(r["season"]) + (" (suspect)" if r["suspect"] else ""),
                r["source"],
                str(r["lakes"]),
                "yes" if r["complete"] else "no",
                f"{r['pixel_m']:g}",
                r["file"],
            ]
            for r in rows
        ],
    )


def show_lakes(folder: Path, region: str | None, limit: int, *, json: bool) -> None:
    """Known lakes, largest first."""
    from storage.history import lakes

    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        frame = lakes(conn, region)
    shown = frame.head(limit)
    if json:
        print_json(records(shown))
        return
    table(
        f"{len(shown)} of {len(frame)} lakes",
        "lake|code|region|>seasons with water|last|>area ha|>± 95 %",
        [
            [
                str(r["lake_id"])[:8],
                r["code"],
                r["region"],
                str(r["seasons"]),
                _season(r["last_season"], r["kind"]),
                hectares(r["area_m2"]),
                _error(r),
            ]
            for r in records(shown)
        ],
    )


def show_history(folder: Path, lake: str, picture: Path | None = None, *, json: bool) -> None:
    """Every current observation of one lake, drawn and listed, and what happened to its identity.

    A lake that no current survey names any more is shown as the lake that is on its place now.

    Args:
        lake: the beginning of an identity or of a code.
        picture: also draw the curve there, as PNG or SVG.

    Raises:
        RefusedError: no such lake, several, or no place for the picture.
    """
    from monitor.curve.report import find_lake, read_curve, say_trend, show_curve, write_picture
    from storage.history import history, lineage_of

    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        identity, code, renamed = find_lake(conn, lake)
        rows, events = history(conn, identity), lineage_of(conn, identity)
        curve = read_curve(conn, identity, code)
    if picture is not None:
        write_picture(curve, picture)
    if json:
        print_json(
            {
                "lake_id": identity,
                "code": code,
                "observations": records(rows),
                "lineage": records(events),
                "trend": say_trend(curve),
                "renamed": renamed,
            }
        )
        return
    show_curve(curve, renamed)
    table(
        f"{code}  {identity}",
        "season|outcome|>area ha|>± 95 %|>seen|days|source",
        [
            [
                str(r["season"]),
                f"{r['outcome']}: {r['reason']}" if r["outcome"] == "not observed" else r["outcome"],
                hectares(r["area_m2"]),
                _error(r),
                "-" if r["seen_share"] is None else f"{r['seen_share']:.0%}",
                _days(r["first_day"], r["last_day"]),
                r["source"],
            ]
            for r in records(rows)
        ],
    )
    for event in records(events):
        other = "" if event["other_lake_id"] is None else f", with {event['other_lake_id']}"
        mine = "" if event["lake_id"] == identity else f" (of {event['lake_id']})"
        season = _season(event["season"], event["survey_kind"])
        out.print(f"{season}: {event['kind']}{mine}{other}", highlight=False)
    if picture is not None:
        out.print(f"Picture: {picture}", highlight=False, soft_wrap=True)


def changes_between(conn: Connection, region: str, start: int, end: int) -> pd.DataFrame:
    """`monitor.change.compare` of two seasons as the lake history holds them, with each lake's code.

    Raises:
        RefusedError: a season without a survey, or one that only an index surveyed, unlike the other.
    """
    from monitor.change import compare
    from storage.codes import TRUSTED, SurveyKind
    from storage.history import lineage, observations_of

    seasons = _seasons(conn, region)
    if missing := [season for season in (start, end) if season not in seasons]:
        known = ", ".join(str(season) for season in sorted(seasons)) or "none"
        raise RefusedError(f"{region} has no survey of {', '.join(map(str, missing))}; it has {known}")
    if seasons[start] != seasons[end]:
        index, other = sorted((start, end), key=lambda season: seasons[season], reverse=True)
        raise RefusedError(
            f"{region}: only an index surveyed {index}, but a model or an inventory {other}; "
            f"they are not compared: run {index} with a model"
        )
    before, after = (observations_of(conn, region, season).set_index("lake_id") for season in (start, end))
    events = lineage(conn, region, kinds=[SurveyKind.INDEX] if seasons[start] else TRUSTED)
    between = events[(events.season > start) & (events.season <= end)]
    changes = compare(before, after, between)
    changes.insert(0, "code", before.code.reindex(changes.index).fillna(after.code.reindex(changes.index)))
    return changes


def show_changes(
    folder: Path, region: str | None, start: int, end: int, *, everything: bool, json: bool
) -> None:
    """Significant changes, largest first."""
    if start >= end:
        raise RefusedError(f"--from {start} --to {end}: the first season must be the earlier one")
    workspace = Workspace.open(folder)
    wanted = [workspace.region(region).name] if region else sorted(workspace.regions())
    with open_database(workspace) as database, database.connect() as conn:
        # without a region, those that were surveyed in both seasons; at least one must have been
        surveyed = {name: _seasons(conn, name) for name in wanted}
        names = [name for name in wanted if {start, end} <= set(surveyed[name])] or wanted[:1]
        changes = {name: changes_between(conn, name, start, end) for name in names}
        doubts = {name: _suspects(conn, name, start, end) for name in names}
    shown = {name: _largest_first(frame, everything) for name, frame in changes.items()}
    if json:
        rows = {name: records(frame.reset_index(names="lake_id")) for name, frame in shown.items()}
        print_json([{"region": name, **row} for name in names for row in rows[name]])
        return
    for name in names:
        by = " by the index" if surveyed[name][start] else ""
        _changes_table(f"{name}: changes {start} → {end}{by}", shown[name], start, end)
        counts = changes[name].verdict.value_counts()
        out.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()), highlight=False)
        for season, why in doubts[name].items():
            out.print(f"{season} is suspect, its losses may be bad mapping: {why}", highlight=False)


def _seasons(conn: Connection, region: str) -> dict[int, bool]:
    """Seasons with a current survey, and whether only an index made one."""
    from storage.codes import SurveyKind
    from storage.history import surveys

    have = surveys(conn, region)
    by_index = have[have.current].kind == SurveyKind.INDEX
    return {int(str(season)): bool(only) for season, only in by_index.groupby(have.season).all().items()}


def _suspects(conn: Connection, region: str, *seasons: int) -> dict[int, str]:
    """Those of the seasons whose losses are not believed, and why."""
    from storage.history import surveys

    have = surveys(conn, region)
    doubted = have[have.current & have.season.isin(seasons) & have.suspect.notna()]
    return dict(zip(doubted.season, doubted.suspect, strict=True))


def _largest_first(changes: pd.DataFrame, everything: bool) -> pd.DataFrame:
    from monitor.change import Verdict

    order = changes.change_m2.abs().sort_values(ascending=False, na_position="last").index
    shown = changes.loc[order]
    return shown if everything else shown[~shown.verdict.isin([Verdict.SAME, Verdict.NOT_OBSERVED])]


def _changes_table(title: str, changes: pd.DataFrame, start: int, end: int) -> None:
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


def show_queue(folder: Path, region: str | None, season: int | None, *, explained: bool, json: bool) -> None:
    """Open flags, most doubtful first."""
    from storage.reviews import queue

    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        frame = queue(conn, region, season)
    shown = frame if explained else frame[~frame.explained]
    if json:
        plain = shown.assign(geometry=shown.geometry.to_wkt()) if len(shown) else shown
        print_json(records(plain))
        return
    table(
        f"Review queue: {len(shown)} to look at, {int(frame.explained.sum())} explained disagreements",
        "flag|season|why|>ha|where|detail",
        [
            [
                str(r["flag_id"])[:8],
                _season(r["season"], r["survey_kind"]),
                r["kind"] + (" (explained)" if r["explained"] else ""),
                f"{r['score']:.2f}",
                f"{r['geometry'].centroid.y:.3f} N {r['geometry'].centroid.x:.3f} E",
                _detail(r["detail"] or {}),
            ]
            for r in records(shown)
        ],
    )


def _detail(detail: dict[str, Any]) -> str:
    """A flag's detail in a few words."""
    if "why" in detail:
        return str(detail["why"])
    if "since" in detail:
        return f"{detail['area_before_ha']} to {detail['area_after_ha']}"
    return f"{detail['patches']} patch" + ("es" if detail["patches"] > 1 else "")


def _season(season: int, kind: str | None) -> str:
    """A season, saying so when it is an index's."""
    return f"{season} (index)" if kind == "index" else str(season)


def _error(row: dict[str, Any]) -> str:
    """Half of the 95 % interval of an area, hectares."""
    return hectares(None if row["area_high_m2"] is None else row["area_high_m2"] - row["area_m2"])


def _days(first: date | None, last: date | None) -> str:
    """First and last day on which a lake's pixels were seen, without the year."""
    if first is None or last is None:
        return "-"
    return f"{first:%m-%d}" if first == last else f"{first:%m-%d} to {last:%m-%d}"
