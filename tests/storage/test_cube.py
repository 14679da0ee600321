"""The cube: slots from threads and processes, crashes, seasons in any order, tags, and plain xarray."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
import odc.geo.xr  # noqa: F401 - gives xarray its `.odc`
import pytest
import rioxarray  # noqa: F401 - and its `.rio`
import xarray as xr
import zarr
import zarr_cm
from pyproj import CRS

from storage import cube_layout
from storage.codes import Reason
from storage.cube import LAYERS, Cube, CubeSlot
from storage.errors import StorageError

ROOT = Path(__file__).resolve().parents[2]
EPSG, SIZE = 32643, 512
ROW, COL = 1100 * SIZE, 120 * SIZE
SPACE = UUID("0d5e1f0e-1f0c-4b56-8f0e-0c7f43b7f9f1")


def key(*parts: object) -> UUID:
    return uuid5(SPACE, "|".join(map(str, parts)))


def layers(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    probability = random.random((SIZE, SIZE), dtype=np.float32)
    probability[:8] = np.nan
    return {
        "probability": probability,
        "mask": np.where(np.isnan(probability), 255, probability > 0.5).astype(np.uint8),
        "reason": random.integers(0, 7, (SIZE, SIZE), dtype=np.uint8),
        "day_of_year": random.integers(180, 260, (SIZE, SIZE), dtype=np.int16),
        "index": random.integers(0, 2, (SIZE, SIZE), dtype=np.uint8),
        "uncertainty": (probability * (1 - probability)).astype(np.float32),
        "elevation": random.integers(3000, 6000, (SIZE, SIZE), dtype=np.int16),
        "sources": random.choice(np.array([7, 5], np.uint8), (SIZE, SIZE)) * np.isfinite(probability),
    }


def work(slot: CubeSlot, number: int, season: int = 2021) -> CubeSlot:
    """Write one tile and return its slot, as a worker does."""
    return slot.write(EPSG, season, ROW, COL + number * SIZE, layers(number), key(season, number))


def window(number: int) -> tuple[slice, slice]:
    return slice(ROW, ROW + SIZE), slice(COL + number * SIZE, COL + (number + 1) * SIZE)


@pytest.fixture
def cube(tmp_path: Path) -> Iterator[Cube]:
    made = Cube(tmp_path / "cube", SIZE)
    made.prepare(EPSG, 2021)
    yield made


def test_every_layer_is_read_back_and_other_pixels_have_no_value(cube: Cube) -> None:
    cube.commit(work(cube.slot(), 0), "one tile", {"task": str(key(2021, 0))})
    fresh = Cube(cube.place, SIZE)
    for name, written in layers(0).items():
        read = fresh.read(EPSG, 2021, *window(0), name)
        assert read.dtype == LAYERS[name].dtype
        np.testing.assert_array_equal(read, written)
        beside = fresh.read(EPSG, 2021, *window(1), name)
        np.testing.assert_array_equal(beside, np.full_like(written, LAYERS[name].fill))
    assert LAYERS["reason"].fill == Reason.NODATA
    assert fresh.written(EPSG, 2021) == {(1100, 120): key(2021, 0)}
    assert fresh.written(EPSG, 2022) == fresh.written(32644, 2021) == {}


def test_regions_do_not_see_or_replace_the_tiles_of_each_other(cube: Cube) -> None:
    """Both begin with the tiles of `main`, which earlier versions wrote for all regions."""
    cube.commit(work(cube.slot(), 0), "of an earlier version")
    regions = {name: Cube(cube.place, SIZE, name) for name in ("Ötz tal 50%~=天", "main")}
    for number, region in enumerate(regions.values(), 1):
        assert region.written(EPSG, 2021) == {(1100, 120): key(2021, 0)}
        region.prepare(EPSG, 2021)
        slot = region.slot().write(EPSG, 2021, ROW, COL, layers(number), key("again", number))
        region.commit(slot, "the same tile")
        region.tag(f"Ötz-tag {number}")
    for number, region in enumerate(regions.values(), 1):
        assert region.written(EPSG, 2021) == {(1100, 120): key("again", number)}
        for read in (region, region.view(f"Ötz-tag {number}")):
            np.testing.assert_array_equal(read.read(EPSG, 2021, *window(0), "mask"), layers(number)["mask"])
    np.testing.assert_array_equal(cube.read(EPSG, 2021, *window(0), "mask"), layers(0)["mask"])
    assert cube.regions() == ["main", "Ötz tal 50%~=天"]


def test_a_view_keeps_its_commit(cube: Cube) -> None:
    cube.commit(work(cube.slot(), 0), "one tile")
    view = cube.view()
    cube.commit(work(cube.slot(), 1), "another")
    assert view.written(EPSG, 2021) == {(1100, 120): key(2021, 0)} and len(cube.written(EPSG, 2021)) == 2
    assert (view.read(EPSG, 2021, *window(1), "mask") == LAYERS["mask"].fill).all()
    np.testing.assert_array_equal(cube.read(EPSG, 2021, *window(1), "mask"), layers(1)["mask"])
    assert view.snapshot != cube.head() == cube.view().snapshot


def test_slots_of_threads_are_combined(cube: Cube) -> None:
    with ThreadPoolExecutor(4) as pool:
        slots = [cube.slot() for _ in range(6)]
        for done in pool.map(work, slots, range(6)):
            cube.commit(done, "a tile")
    assert cube.written(EPSG, 2021) == {(1100, 120 + n): key(2021, n) for n in range(6)}
    for number in range(6):
        np.testing.assert_array_equal(cube.read(EPSG, 2021, *window(number), "mask"), layers(number)["mask"])


@pytest.mark.slow
def test_slots_of_other_processes_are_combined_even_if_the_head_moved(cube: Cube) -> None:
    slots = [cube.slot() for _ in range(3)]
    cube.prepare(EPSG, 2022)  # the axis grows while the workers write
    script = (
        "import pickle, sys; sys.path[:0] = sys.argv[1:3]\n"
        "from test_cube import work\n"
        "slot, number = pickle.load(sys.stdin.buffer)\n"
        "sys.stdout.buffer.write(pickle.dumps(work(slot, number)))"
    )
    workers = [
        subprocess.run(
            [sys.executable, "-c", script, str(ROOT), str(Path(__file__).parent)],
            input=pickle.dumps((slot, number)),
            capture_output=True,
            check=True,
        )
        for number, slot in enumerate(slots)
    ]
    for worker in workers:
        cube.commit(pickle.loads(worker.stdout), "a tile")
    assert cube.written(EPSG, 2021) == {(1100, 120 + n): key(2021, n) for n in range(3)}


@pytest.mark.slow
def test_a_crash_before_the_commit_leaves_the_previous_state(cube: Cube) -> None:
    cube.commit(work(cube.slot(), 0), "one tile")
    before = cube.head()
    script = (
        "import os, sys; sys.path[:0] = sys.argv[1:3]\n"
        "from test_cube import Cube, SIZE, work, EPSG, ROW, COL, layers, key\n"
        "slot = work(Cube(sys.argv[3], SIZE).slot(), 1)\n"
        "slot.write(EPSG, 2021, ROW, COL, layers(9), key('other'))\n"
        "os.kill(os.getpid(), 9)"
    )
    dead = subprocess.run(
        [sys.executable, "-c", script, str(ROOT), str(Path(__file__).parent), cube.place], check=False
    )
    assert dead.returncode == -9
    again = Cube(cube.place, SIZE)
    assert again.head() == before
    assert again.written(EPSG, 2021) == {(1100, 120): key(2021, 0)}
    again.commit(work(again.slot(), 1), "the same tile again")
    np.testing.assert_array_equal(again.read(EPSG, 2021, *window(1), "mask"), layers(1)["mask"])


def test_a_tile_written_again_replaces_the_old_one(cube: Cube) -> None:
    cube.commit(work(cube.slot(), 0), "first")
    cube.tag("before")
    slot = cube.slot().write(EPSG, 2021, ROW, COL, layers(7), key("late scene"))
    cube.commit(slot, "late scene")
    assert cube.written(EPSG, 2021) == {(1100, 120): key("late scene")}
    np.testing.assert_array_equal(cube.read(EPSG, 2021, *window(0), "reason"), layers(7)["reason"])
    np.testing.assert_array_equal(
        cube.read(EPSG, 2021, *window(0), "reason", tag="before"), layers(0)["reason"]
    )


def test_two_writers_of_one_tile_are_refused(cube: Cube) -> None:
    first, second = cube.slot(), cube.slot()
    cube.commit(work(first, 0), "first")
    with pytest.raises(StorageError, match=f"written by task {key(2021, 0)} while"):
        cube.commit(second.write(EPSG, 2021, ROW, COL, layers(1), key("other")), "second")
    np.testing.assert_array_equal(cube.read(EPSG, 2021, *window(0), "mask"), layers(0)["mask"])


def test_seasons_are_written_in_any_order(cube: Cube) -> None:
    for season in (2023, 2019):
        cube.prepare(EPSG, season)
        cube.commit(work(cube.slot(), 0, season), "a tile")
    head = cube.head()
    cube.prepare(EPSG, 2019)
    assert cube.head() == head
    assert cube.seasons(EPSG) == [2021, 2023, 2019]
    assert cube.written(EPSG, 2021) == {}
    assert cube.written(EPSG, 2019) == {(1100, 120): key(2019, 0)}
    dataset = xr.open_zarr(cube.store(), group=f"{EPSG}/r10m", consolidated=False, chunks=None)
    picked = dataset["mask"].sel(season=2019)
    np.testing.assert_array_equal(picked.isel(y=window(0)[0], x=window(0)[1]), layers(0)["mask"])


def test_one_slot_may_carry_two_zones_tiles(cube: Cube) -> None:
    cube.prepare(32742, 2021)
    slot = work(cube.slot(), 0).write(32742, 2021, 0, 0, layers(3), key("south"))
    cube.commit(slot, "both")
    assert cube.written(32742, 2021) == {(0, 0): key("south")}
    assert cube.written(EPSG, 2021) == {(1100, 120): key(2021, 0)}


def test_plain_xarray_reads_coordinates_and_crs(cube: Cube) -> None:
    cube.commit(work(cube.slot(), 0), "one tile")
    dataset = xr.open_zarr(cube.store(), group=f"{EPSG}/r10m", consolidated=False)
    assert set(LAYERS) <= set(dataset.data_vars)
    assert float(dataset.x[COL]) == COL * 10 + 5
    assert float(dataset.y[ROW]) == 10_000_000 - ROW * 10 - 5
    assert CRS.from_wkt(dataset.spatial_ref.attrs["crs_wkt"]).to_epsg() == EPSG
    assert dataset["mask"].dtype == np.uint8
    assert dict(
        zip(
            dataset["reason"].attrs["flag_meanings"].split(),
            dataset["reason"].attrs["flag_values"],
            strict=True,
        )
    ) == {reason.name.lower(): reason.value for reason in Reason}


def test_a_tag_remains_readable(cube: Cube) -> None:
    cube.commit(work(cube.slot(), 0), "first")
    cube.tag("run-1")
    cube.tag("run-1")
    cube.commit(work(cube.slot(), 1), "second")
    assert cube.tags() == ["run-1"]
    assert np.all(cube.read(EPSG, 2021, *window(1), "mask", tag="run-1") == 255)
    with pytest.raises(StorageError, match=r"run-1.*exists already"):
        cube.tag("run-1")
    with pytest.raises(StorageError, match="no tag run-9; it has run-1"):
        cube.store("run-9")


@pytest.mark.slow
def test_two_processes_that_commit_at_once_lose_nothing(cube: Cube) -> None:
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from test_cube import Cube, SIZE, work\n"
        "cube = Cube(sys.argv[3], SIZE)\n"
        "for number in map(int, sys.argv[4:]): cube.commit(work(cube.slot(), number), 'a tile')"
    )
    command = [sys.executable, "-c", script, str(ROOT), str(Path(__file__).parent), cube.place]
    both = [subprocess.Popen([*command, *numbers]) for numbers in ("0246", "1357")]
    assert [process.wait(60) for process in both] == [0, 0]
    assert cube.written(EPSG, 2021) == {(1100, 120 + n): key(2021, n) for n in range(8)}


def test_another_tile_size_is_refused(cube: Cube) -> None:
    with pytest.raises(StorageError, match=f"made with tiles of {SIZE} px, not 1024"):
        Cube(cube.place, 1024)


def test_wrong_tiles_are_named(cube: Cube) -> None:
    good = layers(0)
    for arguments, message in (
        ((EPSG, 2030, ROW, COL, good), r"no season 2030 in EPSG:32643 \(it has \[2021\]\)"),
        ((32644, 2021, ROW, COL, good), "nothing in EPSG:32644"),
        ((EPSG, 2021, ROW + 1, COL, good), "not the upper-left corner"),
        ((EPSG, 2021, 1954 * SIZE, COL, good), "outside EPSG:32643"),
        ((EPSG, 2021, -SIZE, COL, good), "outside EPSG:32643"),
        ((EPSG, 2021, ROW, COL, {**good, "mask": good["mask"][1:]}), "Layer mask is"),
        ((EPSG, 2021, ROW, COL, {**good, "mask": good["probability"]}), "Layer mask is float32"),
        (
            (EPSG, 2021, ROW, COL, {"mask": good["mask"]}),
            "index, probability, reason, sources, uncertainty",
        ),
    ):
        with pytest.raises(StorageError, match=message):
            cube.slot().write(*arguments, key("x"))
    with pytest.raises(StorageError, match="no UTM zone"):
        cube.prepare(4326, 2021)
    with pytest.raises(StorageError, match="not inside EPSG"):
        cube.read(EPSG, 2021, slice(0, 2_000_000), slice(0, 1), "mask")
    with pytest.raises(StorageError, match="no layer water"):
        cube.read(EPSG, 2021, slice(0, 1), slice(0, 1), "water")
    with pytest.raises(StorageError, match=r"ftp:// is not known"):
        Cube("ftp://example.org/cube", SIZE)


def test_a_full_disk_is_reported_and_leaves_the_last_commit(full_disk: Path) -> None:
    cube = Cube(full_disk / "cube", SIZE)
    cube.prepare(EPSG, 2021)
    head, slot = cube.head(), cube.slot()
    with pytest.raises(StorageError, match=r"disk is full.*free some space"):
        for number in range(9):
            work(slot, number)
    assert cube.head() == head
    assert cube.written(EPSG, 2021) == {}


def test_overviews_are_samples_of_the_mask(cube: Cube) -> None:
    cube.commit(work(work(cube.slot(), 0), 1), "two tiles")
    view = cube.view()
    whole = view.dataset(EPSG)["mask"].isel(season=0)
    for factor in cube_layout.FACTORS[1:]:
        overview = view.dataset(EPSG, factor)
        assert list(overview.data_vars) == ["mask"]
        rows = slice(ROW // factor, (ROW + SIZE) // factor)
        cols = slice(COL // factor, (COL + 3 * SIZE) // factor)
        found = overview["mask"].isel(season=0, y=rows, x=cols).to_numpy()
        expected = whole.isel(y=slice(ROW, ROW + SIZE), x=slice(COL, COL + 3 * SIZE)).to_numpy()
        half = factor // 2
        np.testing.assert_array_equal(found, expected[half::factor, half::factor])
        assert (found[:, 2 * SIZE // factor :] == 255).all()
        # a pixel of the overview covers the ground of the pixels it represents
        y = view.dataset(EPSG)["y"][ROW : ROW + factor].to_numpy()
        assert float(overview["y"][rows.start]) == y.mean()
    with pytest.raises(StorageError, match="no overview by 3"):
        view.dataset(EPSG, 3)


def test_attributes_follow_the_geozarr_conventions(cube: Cube) -> None:
    cube.commit(work(cube.slot(), 0), "one tile")
    zone = zarr.open_group(cube.store(), mode="r")[str(EPSG)]
    zarr_cm.validate_all(dict(zone.attrs))
    assert zone.attrs["proj:code"] == f"EPSG:{EPSG}"
    layout = zone.attrs["multiscales"]["layout"]
    assert [level["asset"] for level in layout] == [f"r{10 * factor}m" for factor in cube_layout.FACTORS]
    for level in layout:
        attributes = dict(zone[level["asset"]].attrs)
        zarr_cm.validate_all(attributes)
        pixel = int(level["asset"][1:-1])
        assert attributes["spatial:transform"] == [pixel, 0, 0, 0, -pixel, 10_000_000]
        assert attributes["spatial:shape"] == list(zone[level["asset"]]["mask"].shape[1:])


def test_a_selection_of_the_cube_keeps_its_position(cube: Cube) -> None:
    """With odc-geo and with rioxarray, after a selection."""
    cube.commit(work(cube.slot(), 0), "one tile")
    part = cube.view().window(EPSG, 2021, *window(0))["mask"]
    expected = (10, 0, COL * 10, 0, -10, 10_000_000 - ROW * 10)
    assert part.odc.geobox.affine[:6] == part.rio.transform()[:6] == expected
    assert part.odc.geobox.crs.to_epsg() == part.rio.crs.to_epsg() == EPSG


def test_a_view_can_be_sent_to_other_processes(cube: Cube) -> None:
    cube.commit(work(cube.slot(), 0), "one tile")
    view = cube.view()
    view.dataset(EPSG)
    again = pickle.loads(pickle.dumps(view))
    np.testing.assert_array_equal(again.read(EPSG, 2021, *window(0), "mask"), layers(0)["mask"])


def test_only_used_layers_are_read(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    cube.commit(work(cube.slot(), 0), "one tile")
    read: list[str] = []
    get = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, key: read.append(self.name) or get(self, key))
    part = cube.view().window(EPSG, 2021, *window(0))
    read.clear()
    for _ in range(2):
        part["mask"].to_numpy()
    assert read == [f"/{EPSG}/r10m/mask"], "read once for all uses"
