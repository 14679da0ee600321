"""The doctor's deep checks: every chunk of the cubes and every page of the database is read.

Tiles with damaged chunks are named, and marked as failed in the ledger, so that the next run does them again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from monitor.doctor.examination import Finding, State
from monitor.workspace import DATABASE_FOLDER, Workspace, open_database
from storage import ledger
from storage.codes import SurveyKind, TaskState, tile_name
from storage.cube_damage import Damage, damaged_coordinates, damages, unchecked_zones

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storage.cube import Cube

#: damaged tiles, or files of the database, that a finding names
NAMED = 20
PAGES = "database pages"


def cubes(workspace: Workspace) -> Finding | None:
    """Read every chunk of the workspace's cubes; None if there is no cube yet."""
    found, unchecked, coordinates, read = [], [], [], 0
    for kind in (SurveyKind.MODEL, SurveyKind.INDEX):
        if not workspace.cube_folder(kind).exists():
            continue
        regions: list[str | None] = [*workspace.cube_of(kind).regions()]
        for region in regions or [None]:
            cube = workspace.cube_of(kind, region)
            read += 1
            view = cube.view()
            damaged = list(damages(view))
            unchecked += unchecked_zones(view)
            coordinates += damaged_coordinates(view)
            if damaged:
                found += [_words(cube, each) for each in damaged]
                with open_database(workspace) as database, database.begin() as conn:
                    _mark_failed(conn, cube, kind, damaged)
    if not read:
        return None
    # what earlier versions wrote for all regions is part of the branch of each
    found, coordinates = list(dict.fromkeys(found)), sorted(set(coordinates))
    if found:
        seasons = sorted({words.rsplit("season ", 1)[1].split(":")[0] for words in found})
        return Finding(
            "cube",
            State.PROBLEM,
            f"{len(found)} damaged tiles: {_some(found)}",
            "they are marked as failed: "
            + ", ".join(f"`monitor run --season {season}`" for season in seasons)
            + " does them again",
        )
    if coordinates:
        return Finding(
            "cube",
            State.PROBLEM,
            f"damaged coordinates: {', '.join(coordinates)}; surveys and exports do not read them",
            "for notebooks, restore the cube from a backup",
        )
    if unchecked:
        zones = ", ".join(f"EPSG:{epsg}" for epsg in sorted(set(unchecked)))
        return Finding(
            "cube",
            State.WARNING,
            f"every chunk can be decoded, but {zones} have no checksums: an earlier version made them",
            "move the folder of the cube away and run the seasons again, when that is affordable",
        )
    return Finding("cube", State.OK, "every chunk can be read and has the right checksum")


def _mark_failed(conn: Connection, cube: Cube, kind: SurveyKind, damaged: Iterable[Damage]) -> None:
    """Set the tasks whose layers are damaged to failed, with the damaged layers as the reason."""
    by_place = {(_tile(cube, each), each.season): each for each in damaged}
    for row in ledger.tasks(conn, cube.region, kind=kind):
        each = by_place.get((row.tile, row.season))
        if each is None or row.state == TaskState.SUPERSEDED or each.task not in (None, row.key):
            continue
        ledger.reopen(conn, [row.key])
        reason = f"damaged in the cube: {', '.join(each.parts)}"
        ledger.set_state(conn, row.key, TaskState.FAILED, reason=reason)


def _tile(cube: Cube, each: Damage) -> str:
    return tile_name(each.epsg, cube.tile_size, each.tile_row, each.tile_col)


def _words(cube: Cube, each: Damage) -> str:
    return f"tile {_tile(cube, each)}, season {each.season}: {', '.join(each.parts)}"


def _some(names: list[str]) -> str:
    more = f"; and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return "; ".join(names[:NAMED]) + more


def database_pages(workspace: Workspace) -> Finding | None:
    """Read every page of the workspace's own database, or every row of another; None if there is none yet."""
    from storage.database import Database
    from storage.database_damage import damaged_pages, damaged_relations, has_checksums
    from storage.embedded import EmbeddedPostgis

    folder, url = workspace.folder / DATABASE_FOLDER, workspace.settings.database.url
    if url is None and not (folder / "data" / "PG_VERSION").exists():
        return None
    with ExitStack() as stack:
        server = EmbeddedPostgis(folder)
        opened = Database(url or stack.enter_context(server))
        stack.callback(opened.dispose)
        found = [] if url else damaged_pages(server, opened)
        found += damaged_relations(opened)
        checked = has_checksums(opened)
    if found:
        return Finding(
            PAGES,
            State.PROBLEM,
            f"damaged: {_some(found)}",
            "restore the database from a backup; without one, move its folder away, import inventories and "
            "verdicts, and run the seasons again: the lakes get the same identities",
        )
    if not checked:
        return Finding(
            PAGES,
            State.WARNING,
            "every row can be read, but the pages have no checksums: an earlier version made the database",
            "the workspace's own database gets them when its server starts again; for another, stop it and "
            "run `pg_checksums --enable`",
        )
    return Finding(PAGES, State.OK, "every row can be read, and no page has a wrong checksum")
