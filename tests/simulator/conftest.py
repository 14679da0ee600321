"""One small archive for all tests of the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
from numpy.typing import NDArray

from simulator.settings import Settings
from simulator.simulate import simulate


@dataclass(frozen=True)
class Archive:
    """A written archive and its truth."""

    folder: Path
    settings: Settings
    lakes: gpd.GeoDataFrame
    events: pd.DataFrame
    items: list[pystac.Item]

    def of(self, collection: str) -> list[pystac.Item]:
        """Items of one collection in order of time."""
        return sorted((i for i in self.items if i.collection_id == collection), key=lambda i: i.id[4:])

    def optical(self, season: int) -> list[pystac.Item]:
        """Sentinel-2 items of a season."""
        return [i for i in self.of("sentinel-2-l2a") if i.datetime is not None and i.datetime.year == season]


def read(item: pystac.Item, asset: str) -> NDArray[np.float32]:
    """Pixels of one asset as float."""
    with rasterio.open(item.assets[asset].get_absolute_href()) as source:
        return np.asarray(source.read(1), np.float32)


def reflectance(item: pystac.Item, band: str) -> NDArray[np.float32]:
    """Reflectance x 10000 on the 10 m grid, without the offset of the item's baseline."""
    offset = 1000 if float(item.properties["s2:processing_baseline"]) >= 4 else 0
    native = read(item, band) - offset
    size = read(item, "B02").shape[0]
    factor = -(-size // native.shape[0])
    return np.repeat(np.repeat(native, factor, 0), factor, 1)[:size, :size]


def load(folder: Path, settings: Settings) -> Archive:
    """Read an archive through its catalogue."""
    catalogue = pystac.Catalog.from_file(str(folder / "catalog.json"))
    return Archive(
        folder,
        settings,
        gpd.read_parquet(folder / "truth" / "lakes.parquet"),
        pd.read_parquet(folder / "truth" / "events.parquet"),
        list(catalogue.get_items(recursive=True)),
    )


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Seed 5, 512 px, three seasons."""
    folder = tmp_path_factory.mktemp("range")
    settings = Settings(seed=5, size=512)
    simulate(settings, folder)
    return load(folder, settings)
