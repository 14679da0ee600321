"""The tiles of a region's season, and functions mapped over them in parallel by Dask."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from monitor.compute.layers import TileLayers
from monitor.grid import Tile
from monitor.progress import SILENT, Progress
from storage.cube import CubeView

# rasterio silences this for arrays in memory, but in a way that fails when several threads do it at once
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning, module=r"rasterio\.features")

R = TypeVar("R")
Outlines = NDArray[np.object_]
#: tiles given to Dask at a time: their results are in memory together
TILES_AT_ONCE = 256
#: pixels around a tile within which an outline concerns it
MARGIN = 4


@dataclass(frozen=True)
class SeasonLayers:
    """The layers of a region's tiles in one season."""

    tiles: Sequence[Tile]
    #: gives the layers of a tile; it goes to workers by pickle
    read: Callable[[Tile], TileLayers]

    def map(
        self,
        function: Callable[..., R],
        *groups: Outlines,
        everywhere: bool = False,
        progress: Progress = SILENT,
        title: str = "tiles",
    ) -> Iterator[tuple[Tile, list[NDArray[np.intp]], R]]:
        """Results of a function for each tile, in the order of the tiles.

        Args:
            function: called with a tile's layers and, of each group, the outlines that touch the tile.
            groups: N outlines each (EPSG:4326).
            everywhere: also for tiles that no outline touches.

        Returns:
            for each tile: the tile, the positions of its outlines in each group, and the result.
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
    """Reads the tiles of a season from a cube; nothing is read of tiles that were not written."""

    view: CubeView
    season: int
    written: frozenset[Tile]

    @classmethod
    def of(cls, view: CubeView, season: int, tiles: Sequence[Tile]) -> SeasonLayers:
        """The season's layers of these tiles."""
        by_zone = {epsg: view.written(epsg, season) for epsg in {tile.epsg for tile in tiles}}
        written = frozenset(
            tile for tile in tiles if (tile.row // tile.size, tile.col // tile.size) in by_zone[tile.epsg]
        )
        return SeasonLayers(tiles, cls(view, season, written))

    def __call__(self, tile: Tile) -> TileLayers:
        if tile not in self.written:
            return TileLayers.unwritten(tile)
        rows, cols = slice(tile.row, tile.row + tile.size), slice(tile.col, tile.col + tile.size)
        return TileLayers(tile, self.view.window(tile.epsg, self.season, rows, cols))
