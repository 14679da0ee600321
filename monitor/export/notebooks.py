"""A workspace's results for notebooks: the cube as xarray, the lake history as geopandas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from monitor.errors import RefusedError, unknown
from monitor.grid import geobox_at
from monitor.workspace import Workspace, open_database
from storage.codes import SurveyKind
from storage.cube_layout import FACTORS
from storage.cube_view import known_sources

if TYPE_CHECKING:
    import geopandas
    import xarray as xr

    from storage.cube import Cube
    from storage.cube_view import CubeView


def open_cube(
    workspace: str | Path, region: str | None = None, *, factor: int = 1, index: bool = False
) -> xr.DataTree:
    """Open the cube of a region lazily: a dataset (season, y, x) for each UTM zone, by EPSG code.

    Each dataset covers the written tiles, one Dask chunk per tile; pixels are read when they are computed.
    Variables and their codes are described by their attributes; `spatial_ref` is understood by rioxarray and
    odc-geo. The cube is seen as it is now, whatever is written later.

    Args:
        workspace: the folder with monitor.yaml.
        region: needed where the cube has the layers of several: a tile of two regions has layers for each.
        factor: 1, or 2 to 64 for an overview of the mask with pixels of so many times 10 m.
        index: the cube of the surveys by the index, in place of those by the model.

    Raises:
        RefusedError: the folder is no workspace, its cube holds nothing yet or has no such region, or the
            factor is another.
        StorageError: the cube cannot be read.

    Examples:
        >>> zone = monitor.open_cube("workspace/demo")["32643"].to_dataset()
        >>> water = (zone["mask"].sel(season=2022) == 1).sum().compute()
    """
    import xarray as xr

    if factor not in FACTORS:
        raise RefusedError(f"factor {factor!r}: the cube has {', '.join(map(str, FACTORS))}")
    opened = Workspace.open(Path(workspace))
    kind = SurveyKind.INDEX if index else SurveyKind.MODEL
    regions = opened.cube_of(kind).regions()
    if region is None and len(regions) > 1:
        raise RefusedError(
            f"the cube of {opened.folder} has the layers of {', '.join(regions)}: name the region, as in "
            f"open_cube(folder, {regions[0]!r})"
        )
    if region is not None and regions and region not in regions:
        raise unknown("region", region, regions)
    cube = opened.cube_of(kind, region or next(iter(regions), None))
    view = cube.view()
    zones = {str(epsg): zone for epsg in view.zones() if (zone := _written(view, cube, epsg, factor))}
    if not zones:
        raise RefusedError(f"{cube.place} holds no tile yet; start with `monitor run --season YEAR`")
    return xr.DataTree.from_dict(zones, name=opened.folder.name)


def _written(view: CubeView, cube: Cube, epsg: int, factor: int) -> xr.Dataset | None:
    """A zone's rectangle of written tiles, seasons in order; None where there is none."""
    from odc.geo.xr import xr_coords

    seasons = view.seasons(epsg)
    tiles = {place for season in seasons for place in view.written(epsg, season)}
    if not tiles:
        return None
    side = cube.tile_size // factor
    top, left = (min(place[axis] for place in tiles) * side for axis in (0, 1))
    bottom, right = (max(place[axis] + 1 for place in tiles) * side for axis in (0, 1))
    cut = view.dataset(epsg, factor).isel(y=slice(top, bottom), x=slice(left, right))
    shape = (bottom - top) * factor, (right - left) * factor
    geobox = geobox_at(epsg, top * factor, left * factor, shape).zoom_out(factor)
    named = cut.drop_vars(["y", "x", "spatial_ref", "season"]).assign_coords(
        {**xr_coords(geobox), "season": seasons}
    )
    chunked = named.sortby("season").chunk(season=1, y=side, x=side)
    return chunked if factor > 1 else chunked.assign(sources=known_sources(chunked))


def open_history(workspace: str | Path, region: str | None = None) -> geopandas.GeoDataFrame:
    """The lake history: a row for each lake and season, by region, code and season, EPSG:4326.

    The columns are those of the view `lake_area_history` (docs/schema.md): area_m2 with its 95 % interval,
    outcome and reason, the survey, and geometry, None where the lake was not seen under water.

    Args:
        workspace: the folder with monitor.yaml.
        region: only this region.

    Raises:
        RefusedError: the folder is no workspace, its database does not answer, or there is no survey of it.
    """
    import geopandas
    import shapely

    from storage import exports

    with open_database(Workspace.open(Path(workspace))) as database, exports.snapshot(database) as conn:
        known = sorted(set(exports.surveyed(conn).region))
        if region not in (None, *known):
            raise unknown("surveyed region", region, known)
        if not known:
            raise RefusedError("nothing has been surveyed yet; start with `monitor run --season YEAR`")
        scope = exports.Scope(region=region)
        with exports.stream(conn, exports.View.HISTORY, scope) as rows:
            table = rows.read_pandas()
    outlines = shapely.from_wkb(table.pop(exports.GEOMETRY).to_numpy(object))
    return geopandas.GeoDataFrame(table, geometry=outlines, crs=4326)
