"""`monitor scenes`: tables of the scenes of a season, missing inputs, and why other scenes are not used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.console import out, print_json, progress_of, say, styled, table
from monitor.cli.options import DEMO, JsonOption, RegionOption, SeasonOption, WorkspaceOption
from monitor.errors import RefusedError

if TYPE_CHECKING:
    from monitor.archive.explanations import Code, Explanation
    from monitor.report.scenes import CellReport, OpticalUse, RadarUse, SceneReport

#: ids and names listed without --all
SOME = 3
#: width in characters from which the tables have a column of ids
WIDE = 140


def scenes(
    region: RegionOption = None,
    season: SeasonOption = None,
    everything: Annotated[bool, typer.Option("--all", help="List every id and every cell.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--map", help="Also draw each cell's best date and its cloud: a PNG.")
    ] = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Show the scenes that a season would use, why others are not used, and which inputs are missing."""
    show_scenes(workspace, region, season, everything=everything, picture=picture, json=json)


def show_scenes(
    folder: Path,
    region: str | None,
    season: int | None,
    *,
    everything: bool = False,
    picture: Path | None = None,
    json: bool = False,
) -> None:
    """Print the report of one or all regions; exit code 1 when a file could not be read."""
    from monitor.drawing.pictures import check_picture
    from monitor.report.scenes import report_scenes
    from monitor.settings import season_or_this
    from monitor.workspace import Workspace

    workspace = Workspace.open(folder)
    names = workspace.region_names(region)
    year = season_or_this(season)
    workspace.refuse_future(names, [year])
    if picture is not None and len(names) > 1:
        raise RefusedError(f"--map: name one region with --region: {', '.join(names)}")
    if picture is not None:
        check_picture(picture, "--map")
    reports = [
        report_scenes(workspace, workspace.region(name), year, progress_of(f"{name} {year}"))
        for name in names
    ]
    if json:
        print_json([report.plain for report in reports])
    else:
        for report in reports:
            _print_report(report, everything)
    if picture is not None:
        from monitor.report.scene_map import draw_scenes

        draw_scenes(reports[0], picture)
    if any(report.faults for report in reports):
        raise typer.Exit(1)


def _print_report(report: SceneReport, everything: bool) -> None:
    from monitor.grid import CELL, PIXEL

    inside = [cell for cell in report.cells if cell.inside]
    say(
        f"{report.region} {report.season}: {report.profile} at {report.location}; {report.first_day} to "
        f"{report.last_day}, to {report.late_day} where nothing else is clear; "
        f"{len(inside)} cell{'s' * (len(inside) != 1)} of {CELL * PIXEL / 1000:.0f} km"
    )
    # other scenes are used in the surroundings only, for tiles at the region's edge
    used = {glimpse.id for cell in report.cells for glimpse in cell.optical}
    radar_used = {scene for cell in report.cells for scene in cell.radar}
    _optical([scene for scene in report.optical if scene.id in used], everything)
    _radar([scene for scene in report.radar if scene.id in radar_used], report.radar_kind, everything)
    say(f"DEM: {len(report.dem)} tile{'s' * (len(report.dem) != 1)}")
    _missing(report, inside, everything)
    _refused(report, everything)


def _optical(scenes: Sequence[OpticalUse], everything: bool) -> None:
    _scene_table(
        f"Sentinel-2: {_scenes(scenes)} used",
        "date|sat|square|baseline|+1000|>cloud|>seen|>listed|>cells",
        [
            [
                f"{scene.datetime:%m-%d}",
                scene.platform[-2:].upper(),
                scene.square or "-",
                scene.baseline or "-",
                scene.harmonised,
                _cloud(scene),
                _share(scene.seen),
                _share(scene.catalogue_cloud),
                f"{scene.first_in}/{scene.used_in}",
            ]
            for scene in scenes
        ],
        [scene.id for scene in scenes],
        everything,
    )
    say(
        "  +1000: taken out here, by the catalogue (source), or not added (no need); cloud, seen: over the "
        "region's cells; listed: cloud of the whole scene by the catalogue; cells: best date in / used in"
    )


def _radar(scenes: Sequence[RadarUse], kind: str, everything: bool) -> None:
    _scene_table(
        f"Sentinel-1 ({kind}): {_scenes(scenes)} used",
        "date|sat|pass|>orbit|>days off|>off best date|>cells",
        [
            [
                f"{scene.datetime:%m-%d}",
                scene.platform[-2:].upper(),
                scene.orbit_state or "-",
                "-" if scene.relative_orbit is None else str(scene.relative_orbit),
                *("-" if days is None else f"{days:+.1f}" for days in (scene.days, scene.days_from_best)),
                f"{scene.first_in}/{scene.used_in}",
            ]
            for scene in scenes
        ],
        [scene.id for scene in scenes],
        everything,
    )
    say("  days off: from the nearest optical date of the cells that use it")


def _scene_table(
    title: str, columns: str, rows: list[list[str]], ids: Sequence[str], everything: bool
) -> None:
    """A table with the ids in a column on wide terminals, else listed below it with --all."""
    beside = out.width >= WIDE
    if beside:
        columns, rows = f"{columns}|scene", [[*row, name] for row, name in zip(rows, ids, strict=True)]
    table(title, columns, rows)
    if everything and not beside:
        for name in ids:
            say(f"  {name}")


def _scenes(scenes: Sequence[OpticalUse] | Sequence[RadarUse]) -> str:
    return f"{len(scenes)} scene{'s' * (len(scenes) != 1)}"


def _cloud(scene: OpticalUse) -> str:
    """Mean cloud over the region, with that of the clearest and cloudiest cell where they differ."""
    low, high = _share(scene.cloud_low), _share(scene.cloud_high)
    return _share(scene.cloud) + (f" ({low} to {high})" if low != high else "")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _missing(report: SceneReport, inside: Sequence[CellReport], everything: bool) -> None:
    """Cells without an input, without a good date, or undecided because of an unreadable file."""
    from monitor.archive.choice import CLOUD_BELOW
    from monitor.archive.sensors import INPUTS

    for what in INPUTS.values():
        if bare := [cell.name for cell in inside if what in cell.lacks]:
            say(
                styled(
                    ("missing:", "bold"),
                    f" no {what} scene over {len(bare)} of {len(inside)} cells: {_some(bare, everything)}",
                )
            )
    if report.fewer:
        _fewer([cell for cell in inside if cell.lacks], len(inside), everything)
    if cloudy := [cell.name for cell in inside if cell.cloudy]:
        say(
            styled(
                ("cloudy:", "bold"),
                f" no date below {CLOUD_BELOW:.0%} cloud over {len(cloudy)} of {len(inside)} cells: "
                f"{_some(cloudy, everything)}",
            )
        )
    for message, cells in report.faults.items():
        names = _some([cell.name for cell in cells], everything)
        say(styled(("undecided:", "bold red"), f" {len(cells)} cells ({names}): {message}"))


def _fewer(cells: Sequence[CellReport], of: int, everything: bool) -> None:
    """With which sensors the model predicts the cells that lack an input."""
    found: dict[str | None, list[str]] = defaultdict(list)
    for cell in cells:
        if cell.fault is None:
            found[cell.sensors].append(cell.name)
    for sensors, names in sorted(found.items(), key=lambda entry: str(entry[0])):
        how = "cannot be predicted" if sensors is None else f"are predicted from {sensors} only"
        where = f"{len(names)} of {of} cells {how} where an input is missing"
        say(styled(("sensors:", "bold"), f" {where}: {_some(names, everything)}"))


def _refused(report: SceneReport, everything: bool) -> None:
    faulty = {cell.fault["item"] for cell in report.cells if cell.fault is not None}
    refused = [(item, why) for item, why in report.refused if item not in faulty]
    if not refused:
        return
    say(f"Not used: {len(refused)}")
    for sentence, items in group(refused):
        say(f"  {len(items)} × {sentence}: {_some(items, everything)}")


def _some(names: Sequence[str], everything: bool) -> str:
    """All names with --all, else the first ones."""
    if everything or len(names) <= SOME + 1:
        return ", ".join(names)
    return f"{', '.join(names[:SOME])} and {len(names) - SOME} more (--all)"


def group(refused: Iterable[tuple[str, Explanation]]) -> list[tuple[str, list[str]]]:
    """Items by the code of their refusal, most frequent first, each group with one sentence."""
    from monitor.archive.explanations import summary

    found: dict[Code, list[tuple[str, Explanation]]] = defaultdict(list)
    for item, why in refused:
        found[why.code].append((item, why))
    groups = [(summary([why for _, why in pairs]), [item for item, _ in pairs]) for pairs in found.values()]
    return sorted(groups, key=lambda entry: (-len(entry[1]), entry[0]))
