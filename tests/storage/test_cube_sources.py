"""The layer `sources`, and cubes of earlier versions, which lack it."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
import xarray as xr

from segmenter.manifest import SENSORS, code_of
from storage import cube_layout
from storage.codes import NO_ANSWER, Sensor
from storage.cube import LAYERS, Cube
from storage.cube_damage import damages
from storage.cube_view import known_sources

EPSG, SIZE = 32643, 64
HERE = slice(0, SIZE), slice(0, SIZE)
EVERY = Sensor.OPTICAL | Sensor.RADAR | Sensor.ELEVATION
#: pixels without an answer
HIDDEN = np.s_[:8]


def layers(sources: int) -> dict[str, np.ndarray]:
    """A tile that was predicted from `sources`, except for `HIDDEN`."""
    made = {name: np.zeros((SIZE, SIZE), layer.dtype) for name, layer in LAYERS.items() if name != "sources"}
    made["mask"][HIDDEN] = NO_ANSWER
    made["probability"][HIDDEN] = np.nan
    return made | {"sources": np.where(made["mask"] == NO_ANSWER, 0, sources).astype(np.uint8)}


def write(cube: Cube, season: int, made: dict[str, np.ndarray], col: int = 0) -> UUID:
    cube.prepare(EPSG, season)
    task = uuid4()
    cube.commit(cube.slot().write(EPSG, season, 0, col * SIZE, made, task), "a tile")
    return task


def seen_by(cube: Cube, season: int, cols: slice = HERE[1]) -> np.ndarray:
    return cube.read(EPSG, season, HERE[0], cols, "sources")


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cube:
    """A cube of before, with a tile of 2021: its zone has no array `sources`."""
    with monkeypatch.context() as before:
        before.setattr(
            cube_layout, "LAYERS", {name: layer for name, layer in LAYERS.items() if name != "sources"}
        )
        before.setattr(cube_layout, "EVERY_CHUNK", "no such attribute")
        cube = Cube(tmp_path / "cube", SIZE)
        made = layers(0)
        del made["sources"]
        write(cube, 2021, made)
    assert cube.view().lacking(EPSG) == ["sources"]
    return cube


def test_the_bits_are_those_of_the_manifest() -> None:
    named = zip(SENSORS, (Sensor.OPTICAL, Sensor.RADAR, Sensor.ELEVATION), strict=True)
    assert [code_of([name]) for name, _ in zip(SENSORS, Sensor, strict=True)] == [s.value for s in Sensor]
    assert all(code_of([name]) == sensor for name, sensor in named)
    described = LAYERS["sources"].attributes
    assert described["flag_masks"] == [1, 2, 4]
    assert described["flag_meanings"] == "optical radar elevation"


@pytest.mark.parametrize("sources", [1, 3, 5, 6, 7])
def test_the_sensors_of_a_tile_are_read_back(tmp_path: Path, sources: int) -> None:
    cube = Cube(tmp_path / "cube", SIZE)
    write(cube, 2021, layers(sources))
    read = seen_by(cube, 2021)
    assert read.dtype == np.uint8 and not read[HIDDEN].any() and (read[8:] == sources).all()
    assert not seen_by(cube, 2021, slice(SIZE, 2 * SIZE)).any(), "a tile that was never written"


def test_a_tile_of_before_was_seen_by_all_sensors(old: Cube) -> None:
    read = seen_by(old, 2021)
    assert read.dtype == np.uint8 and not read[HIDDEN].any() and (read[8:] == EVERY).all()
    assert list(damages(old.view())) == []
    whole = old.view().dataset(EPSG).isel(season=0, y=HERE[0], x=HERE[1])
    assert "sources" not in whole, "what is stored is not changed by reading it"
    lazy = known_sources(whole.chunk(y=32, x=32))
    assert lazy.chunks is not None and lazy.dtype == np.uint8
    np.testing.assert_array_equal(lazy.compute(), read)
    assert lazy.attrs == LAYERS["sources"].attributes


@pytest.mark.parametrize("season", [2021, 2022, 2019])
def test_a_new_tile_in_an_old_zone(old: Cube, season: int) -> None:
    """Also beside the old one in its season; the old chunks are not written again."""
    before = {name: old.read(EPSG, 2021, *HERE, name) for name in LAYERS}
    chunks = {path.name for path in (Path(old.place) / "chunks").iterdir()}
    write(old, season, layers(6), col=1)
    assert old.view().lacking(EPSG) == []
    assert chunks <= {path.name for path in (Path(old.place) / "chunks").iterdir()}
    for name, values in before.items():
        np.testing.assert_array_equal(old.read(EPSG, 2021, *HERE, name), values)
    new = seen_by(old, season, slice(SIZE, 2 * SIZE))
    assert not new[HIDDEN].any() and (new[8:] == 6).all()
    if season == 2021:
        both = seen_by(old, season, slice(0, 2 * SIZE))
        np.testing.assert_array_equal(both, np.hstack([before["sources"], new]))
    assert list(damages(old.view())) == []
    plain = xr.open_zarr(old.store(), group=f"{EPSG}/r10m", consolidated=False)
    assert plain["sources"].shape == plain["mask"].shape
    head = old.head()
    old.prepare(EPSG, season)
    assert old.head() == head, "a complete zone is prepared once"


def test_regions_of_an_old_cube_add_the_layer_to_their_own_branch(old: Cube) -> None:
    region = Cube(old.place, SIZE, "pamir")
    region.prepare(EPSG, 2021)
    assert region.view().lacking(EPSG) == [] and old.view().lacking(EPSG) == ["sources"]
    assert (seen_by(region, 2021)[8:] == EVERY).all()
