"""The layers of a region's tiles in one season, over which Dask maps functions in parallel."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from monitor.compute.layers import TileLayers
from monitor.grid import Tile
from monitor.progress import SILENT, Progress
from storage.cube_view import CubeView

# rasterio suppresses this warning for arrays in memory, but not thread-safely
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning, module=r"rasterio\.features")

R = TypeVar("R")
Outlines = NDArray[np.object_]
#: tiles computed at a time; their results are in memory together
TILES_AT_ONCE = 256
#: pixels around a tile in which an outline counts as touching it
MARGIN = 4


@dataclass(frozen=True)
class SeasonLayers:
    """The layers of a region's tiles in one season."""

    tiles: Sequence[Tile]
    #: reads the layers of a tile; it must be picklable
    read: Callable[[Tile], TileLayers]

    def map(
        self,
        function: Callable[..., R],
        *groups: Outlines,
        everywhere: bool = False,
        progress: Progress = SILENT,
        title: str = "tiles",
    ) -> Iterator[tuple[Tile, list[NDArray[np.intp]], R]]:
        """Apply a function to each tile, in parallel.

        Args:
            function: called with the layers of a tile and, for each group, the outlines that touch the tile.
            groups: arrays of N outlines each (EPSG:4326).
            everywhere: include tiles that no outline touches.

        Returns:
            for each tile, in their order: the tile, the positions of its outlines in each group, and the
            result.
        """
        from dask.base import compute  # without types
        from dask.delayed import delayed

        trees = [shapely.STRtree(group) for group in groups]
        work = []
        for tile in self.tiles:
            footprint = tile.footprint(MARGIN)
            near = [np.sort(tree.query(footprint, predicate="intersects")) for tree in trees]
            if everywhere or any(len(positions) for positions in near):
                work.append((tile, near))
        with progress.count(title, len(work)) as done:
            for start in range(0, len(work), TILES_AT_ONCE):
                some = work[start : start + TILES_AT_ONCE]
                tasks = [
                    delayed(_apply, pure=False)(
                        function, self.read, tile, [group[at] for group, at in zip(groups, near, strict=True)]
                    )
                    for tile, near in some
                ]
                results: tuple[R, ...] = compute(*tasks)
                for (tile, near), result in zip(some, results, strict=True):
                    yield tile, near, result
                    done()


def _apply(
    function: Callable[..., R], read: Callable[[Tile], TileLayers], tile: Tile, outlines: list[Outlines]
) -> R:
    return function(read(tile), *outlines)


@dataclass(frozen=True)
class CubeTiles:
    """Reads the layers of tiles from a cube; tiles that were not written have no data."""

    view: CubeView
    season: int
    written: frozenset[Tile]

    @classmethod
    def of(
        cls, view: CubeView, season: int, tiles: Sequence[Tile], lacking: Collection[Tile] = ()
    ) -> SeasonLayers:
        """The layers of `tiles` in a season, of which those of `lacking` are not read and have no data."""
        by_zone = {epsg: view.written(epsg, season) for epsg in {tile.epsg for tile in tiles}}
        written = frozenset(
            tile for tile in tiles if (tile.row // tile.size, tile.col // tile.size) in by_zone[tile.epsg]
        ).difference(lacking)
        return SeasonLayers(tiles, cls(view, season, written))

    def __call__(self, tile: Tile) -> TileLayers:
        if tile not in self.written:
            return TileLayers.unwritten(tile)
        rows, cols = slice(tile.row, tile.row + tile.size), slice(tile.col, tile.col + tile.size)
        return TileLayers(tile, self.view.window(tile.epsg, self.season, rows, cols), self.season)
