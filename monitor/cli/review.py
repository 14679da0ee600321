"""`monitor review`: the review queue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.console import out, print_json, progress_of, season_name, table
from monitor.cli.options import DEMO, JsonOption, OneSeasonOption, RegionOption, WorkspaceOption

review_app = typer.Typer(help="Places that a person should review.", no_args_is_help=True)
ExplainedOption = Annotated[
    bool, typer.Option("--all", help="Include disagreements that have an explanation.")
]


@review_app.command("list")
def list_queue(
    region: RegionOption = None,
    season: OneSeasonOption = None,
    explained: ExplainedOption = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """List the open review queue, highest score first."""
    show_queue(workspace, region, season, explained=explained, json=json)


@review_app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; created if missing.")],
    region: RegionOption = None,
    season: OneSeasonOption = None,
    explained: ExplainedOption = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Write the queue as GeoJSON, with a picture of each chip: colours, index, mask and probability."""
    from monitor.history.regions import check_region, check_season
    from monitor.review.export import export_queue
    from monitor.workspace import Workspace, open_system

    with open_system(Workspace.open(workspace)) as system:
        with system.database.connect() as conn:
            check_region(conn, system.workspace, region)
            check_season(conn, region, season)
        written = export_queue(
            system, folder, region, season, explained=explained, progress=progress_of("review")
        )
    if json:
        print_json({"folder": folder, "chips": written})
    else:
        out.print(f"{written} entries of the review queue in {folder}")


def show_queue(folder: Path, region: str | None, season: int | None, *, explained: bool, json: bool) -> None:
    """Print open flags, highest score first."""
    from monitor.history.regions import check_region, check_season
    from monitor.workspace import Workspace, open_database
    from storage.copying import records
    from storage.reviews import queue

    workspace = Workspace.open(folder)
    with open_database(workspace) as database, database.connect() as conn:
        check_region(conn, workspace, region)
        check_season(conn, region, season)
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
                season_name(r["season"], r["survey_kind"]),
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
    if "patches" in detail:
        return f"{detail['patches']} patch" + ("es" if detail["patches"] > 1 else "")
    return ", ".join(f"{name}: {value}" for name, value in detail.items())
