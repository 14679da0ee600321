"""A season's survey from the cube: drawn from its tiles' layers, told at its place in the history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import geopandas

from monitor.glaciers import glacier_distances
from monitor.grid import Tile, tile_at, tile_named
from monitor.settings import Region
from monitor.survey import Earlier, Maps, Rows, draw
from monitor.system import System
from monitor.telling import Source, tell
from monitor.tiles import LAYERS
from monitor.vectorise import TileMap
from segmenter.manifest import Manifest
from storage import history, registry
from storage.codes import Outcome, SurveyKind
from storage.errors import StorageError
from storage.history import Survey
from storage.told import Place, Told

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storage.cube import Cube


def tell_season(
    conn: Connection,
    cube: Cube,
    region: Region,
    season: int,
    kind: SurveyKind,
    manifest: Manifest,
    drawn_from: Mapping[str, str | None],
    *,
    run_id: UUID | None = None,
    done_tasks: Sequence[UUID] = (),
) -> bool:
    """Draw and record the survey of a region and season from the cube; False when it stands already.

    Args:
        drawn_from: name of every tile to the key of its task, None where the cube does not hold it.
    """
    place = Place(region.name, season, kind, f"{manifest.name} {manifest.version}")
    tiles = [tile_named(name) for name in sorted(drawn_from)]
    seasons = [p.season for p in history.places(conn) if (p.region, p.kind) == (region.name, kind)]
    earlier = max((other for other in seasons if other < season), default=None)

    def drawn(told: Told) -> Rows:
        rows = draw(
            maps_of(cube, tiles, season),
            region,
            season,
            manifest.smallest_lake_m2,
            told,
            None if earlier is None else Earlier(earlier, maps_of(cube, tiles, earlier)),
            area_factor=manifest.area_factor,
            kind=kind,
        )
        return rows.with_observations(_placed(rows.observations, region, tiles, drawn_from))

    survey, changed = tell(
        conn,
        Source(place, manifest.fingerprint, drawn_from),
        drawn,
        compared=earlier,
        run_id=run_id,
        done_tasks=done_tasks,
    )
    name = f"{region.name}-{season}-{survey.id}"
    if changed and name not in cube.tags():
        cube.tag(name)
    return changed


def redraw_season(system: System, conn: Connection, survey: Survey) -> bool | None:
    """Tell a season again from what the cube holds, as the model that drew it would.

    Returns:
        whether it came out differently; None where the region is another workspace's, or the cube does not
        hold what the season was drawn from.

    Raises:
        StorageError: the model is not in the registry any more.
    """
    if survey.region not in system.workspace.regions():
        return None
    cube = system.cube_of(survey.kind)
    if not _holds(cube, survey):
        return None
    model = registry.model(conn, survey.digest)
    if model is None:
        run = f"monitor run --region {survey.region} --season {survey.season}"
        raise StorageError(
            f"The survey of {survey.region} {survey.season} has to be told again, but its model "
            f"{survey.digest} is not in the registry; run `{run}`."
        )
    return tell_season(
        conn,
        cube,
        system.workspace.region(survey.region),
        survey.season,
        survey.kind,
        Manifest.model_validate(model.manifest),
        survey.drawn_from,
        run_id=survey.run_id,
        done_tasks=[UUID(key) for key in survey.drawn_from.values() if key],
    )


def _holds(cube: Cube, survey: Survey) -> bool:
    """Whether the cube's tiles are those that the survey was drawn from."""
    keys = {tile_named(name): UUID(key) for name, key in survey.drawn_from.items() if key}
    written = {epsg: cube.written(epsg, survey.season) for epsg in {tile.epsg for tile in keys}}
    places = {tile: (tile.row // tile.size, tile.col // tile.size) for tile in keys}
    return bool(keys) and all(written[tile.epsg].get(places[tile]) == key for tile, key in keys.items())


def maps_of(cube: Cube, tiles: Sequence[Tile], season: int) -> Maps:
    """The cube's layers of these tiles in a season, read one tile at a time."""
    zones = {tile.epsg for tile in tiles if season in cube.seasons(tile.epsg)}

    def maps() -> Iterator[TileMap]:
        for tile in (tile for tile in tiles if tile.epsg in zones):
            window = slice(tile.row, tile.row + tile.size), slice(tile.col, tile.col + tile.size)
            layers = {name: cube.read(tile.epsg, season, *window, name) for name in LAYERS}
            yield TileMap(tile=tile, **layers)

    return maps


def _placed(
    observations: geopandas.GeoDataFrame,
    region: Region,
    tiles: Sequence[Tile],
    drawn_from: Mapping[str, str | None],
) -> geopandas.GeoDataFrame:
    """Observations with the task of the tile that holds each lake's middle, and the nearest glacier."""
    water = observations.outcome == Outcome.WATER
    keys: list[UUID | None] = [None] * len(observations)
    size = tiles[0].size if tiles else 1
    for at, outline in enumerate(observations.geometry):
        if outline is not None:
            point = outline.representative_point()
            key = drawn_from.get(tile_at(point.x, point.y, size).name)
            keys[at] = None if key is None else UUID(key)
    placed = observations.assign(task_key=keys, glacier_m=None)
    if region.glaciers is not None:
        placed.loc[water, "glacier_m"] = glacier_distances(observations.geometry[water], region.glaciers)
    return placed
