"""Uncertainty of a mapped lake's area, from its shoreline and from the model's uncertainty of its pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray
from rasterio import features
from scipy import ndimage

from monitor.compute.layers import TileLayers
from monitor.grid import PIXEL, WGS84, Tile, geobox_at, reproject

#: width in pixels of the rim around a lake, corners included, whose uncertainty counts for the lake
RIM = 2
#: uncertainty is rounded to multiples of this before it is added up: sums are exact in any order of tiles
GRAIN = 2.0**-20


def area_sigma(perimeter_m: float, pixel_m: float = PIXEL) -> float:
    """Standard deviation of a mapped lake's area due to its shoreline, m2 (Hanshaw and Bookhagen 2014).

    0.6872 x (P / G) x G^2 / 2 with perimeter P and pixel size G: a normally distributed error of half a
    pixel's area for each pixel on the outline.
    """
    return 0.6872 * (perimeter_m / pixel_m) * pixel_m**2 / 2


def area_errors(tiles: Iterable[TileLayers], lakes: geopandas.GeoDataFrame) -> pd.DataFrame:
    """The two terms of the error of each lake's area; `combine` gives one standard deviation from them.

    The model's term is the sum of the pixels' standard deviations over the lake and a rim of two pixels,
    times the area of a pixel: the errors of the pixels of one lake are assumed to be fully correlated. By the
    inequality of Cauchy and Schwarz the standard deviation of a sum is at most the sum of the standard
    deviations, so this is an upper bound. Pixels of a rim that are water of another lake count for that lake
    only; a pixel without a prediction (NaN) adds nothing. Where tiles of two UTM zones overlap, each pixel is
    counted in the zone of its own six degrees.

    Args:
        tiles: of one season, in any order and of any size.
        lakes: N outlines that do not overlap, with perimeter_m, as from `vectorise.vectorise` (EPSG:4326).

    Returns:
        N rows, indexed as `lakes`: shoreline_m2 (see `area_sigma`) and model_m2, both in m2 and at least 0;
        independent of the tiling.
    """
    outlines = lakes.geometry.to_numpy()
    tree = shapely.STRtree(outlines)
    found = []
    for layers in tiles:
        near = near_tile(tree, layers.tile)
        found.append((layers.tile, near, uncertainty_within(layers, outlines[near])))
    return sum_errors(found, lakes)


def near_tile(tree: shapely.STRtree, tile: Tile) -> NDArray[np.intp]:
    """Positions of the outlines of `tree` (EPSG:4326) whose rim may reach into a tile, in order."""
    # the edges of the footprint are accurate to one pixel only
    return np.sort(tree.query(tile.footprint(margin=RIM + 2), predicate="intersects"))


def uncertainty_within(layers: TileLayers, outlines: NDArray[np.object_]) -> NDArray[np.float64]:
    """Sums of one tile's uncertainty over each lake with its rim.

    Args:
        outlines: the N lakes that may reach into the tile (EPSG:4326).

    Returns:
        (N, 3): the sum over the whole tile and over the six degrees of its zone, both in multiples of
        `GRAIN`, and 1 if the lake reaches into the tile.
    """
    sums = np.zeros((len(outlines), 3))
    if len(outlines) == 0:
        return sums
    tile = layers.tile
    grains = np.pad(np.round(np.nan_to_num(layers["uncertainty"]) / GRAIN).astype(np.float64), RIM)
    own = _own_degrees(tile)
    for position, window, place in _places(tile, outlines):
        here = grains[window]
        sums[position] = here[place].sum(), here[place & own[window]].sum(), 1
    return sums


def sum_errors(
    found: Iterable[tuple[Tile, NDArray[np.intp], NDArray[np.float64]]], lakes: geopandas.GeoDataFrame
) -> pd.DataFrame:
    """`area_errors` from the sums of all tiles.

    Args:
        found: for each tile: the tile, the positions of its lakes in `lakes`, and the result of
            `uncertainty_within` for them.
    """
    total: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros((len(lakes), 3)))
    for tile, near, sums in found:
        total[tile.epsg][near] += sums
    zones = np.sum([sums[:, 2] > 0 for sums in total.values()], axis=0) if total else np.zeros(len(lakes))
    everything, own = (
        np.sum([sums[:, column] for sums in total.values()], axis=0) if total else np.zeros(len(lakes))
        for column in (0, 1)
    )
    return pd.DataFrame(
        {
            "shoreline_m2": lakes.perimeter_m.map(area_sigma).to_numpy(float),
            "model_m2": np.where(zones > 1, own, everything) * GRAIN * PIXEL**2,
        },
        index=lakes.index,
    )


def combine(shoreline_m2: ArrayLike, model_m2: ArrayLike, factor: ArrayLike = 1.0) -> NDArray[np.float64]:
    """Standard deviation of areas from the two independent terms of `area_errors`, m2.

    Args:
        factor: of each lake, from the `area_factor` of the model's manifest at its mapped area
            (`segmenter.area_factor.factor_at`), fitted so that the 95 % intervals contain 95 % of the true
            areas.
    """
    both: NDArray[np.float64] = np.hypot(np.asarray(shoreline_m2, float), np.asarray(model_m2, float))
    return np.asarray(factor, float) * both


def _places(
    tile: Tile, outlines: NDArray[np.object_]
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[np.bool_]]]:
    """Position of each lake, its window in the tile grown by `RIM`, and the pixels of lake and rim in it.

    The pixels are rasterized from the outlines, so that those beyond the tile do not need its neighbour.
    """
    side = tile.size + 2 * RIM
    affine = geobox_at(tile.epsg, tile.row - RIM, tile.col - RIM, (side, side)).affine
    numbered = ((reproject(outline, WGS84, tile.epsg), n) for n, outline in enumerate(outlines, start=1))
    labels = features.rasterize(numbered, (side, side), transform=affine, dtype=np.int32)
    for number, found in enumerate(ndimage.find_objects(labels, len(outlines)), start=1):
        if found is None:
            continue
        rows, cols = (slice(max(0, edge.start - RIM), edge.stop + RIM) for edge in found)
        part = labels[rows, cols]
        grown = ndimage.maximum_filter(part == number, 2 * RIM + 1, mode="constant")
        yield number - 1, (rows, cols), grown & ((part == number) | (part == 0))


def _own_degrees(tile: Tile) -> NDArray[np.bool_]:
    """Pixels of the tile grown by `RIM` whose centre lies in the six degrees of the tile's UTM zone."""
    side = tile.size + 2 * RIM
    west = 6 * (tile.epsg % 100) - 186
    left, south, right, north = tile.footprint(margin=RIM).bounds
    if west <= left and right <= west + 6:
        return np.ones((side, side), bool)
    strip = shapely.segmentize(shapely.box(west, south - 0.01, west + 6, north + 0.01), 0.01)
    affine = geobox_at(tile.epsg, tile.row - RIM, tile.col - RIM, (side, side)).affine
    return np.asarray(
        features.geometry_mask([reproject(strip, WGS84, tile.epsg)], (side, side), affine, invert=True)
    )
