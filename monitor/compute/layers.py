"""The layers of one tile and season, as predicted, stored in the cube and read by a survey."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.xr import xr_coords

from monitor.grid import Tile
from storage.codes import NO_ANSWER
from storage.cube_damage import readable
from storage.cube_layout import LAYERS
from storage.cube_view import values_of


@dataclass(frozen=True, eq=False)
class TileLayers:
    """The layers of one tile and season; `layers["mask"]` is an array (size, size)."""

    tile: Tile
    #: the variables of `storage.cube_layout.LAYERS` on (y, x); those of a cube are read when they are used
    data: xr.Dataset
    #: of layers in a cube
    season: int | None = None
    #: layers that were read
    _read: dict[str, NDArray[Any]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, tile: Tile, **arrays: NDArray[Any]) -> TileLayers:
        """Layers in memory, from an array (size, size) for each of `LAYERS`."""
        variables = {
            name: (("y", "x"), arrays[name].astype(layer.dtype, copy=False), dict(layer.attributes))
            for name, layer in LAYERS.items()
        }
        return cls(tile, xr.Dataset(variables, coords=xr_coords(tile.geobox())))

    @classmethod
    def unwritten(cls, tile: Tile) -> TileLayers:
        """The layers of a tile that was never written: no data anywhere."""
        shape = (tile.size, tile.size)
        arrays = {
            name: np.broadcast_to(np.array(layer.fill, layer.dtype), shape) for name, layer in LAYERS.items()
        }
        return cls.of(tile, **arrays)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A layer. Raises `DamagedError` naming the tile, if the cube's cannot be read."""
        if name not in self._read:
            if self.season is None:
                self._read[name] = values_of(self.data, name, one_tile=True)
            else:
                with readable(f"layer {name} of tile {self.tile.name}", self.season):
                    self._read[name] = values_of(self.data, name, one_tile=True)
        return self._read[name]

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every layer by name."""
        return {name: self[name] for name in LAYERS}

    @property
    def observed(self) -> bool:
        """Whether any pixel has a valid view."""
        return bool((self["mask"] != NO_ANSWER).any())
