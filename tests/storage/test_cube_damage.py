"""Bits that rot and clocks that are wrong: damage is found and named, and the cube remains usable."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

import icechunk
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from zarr.core.sync import sync

from storage import cube_layout
from storage.cube import LAYERS, Cube
from storage.cube_clock import set_time
from storage.cube_damage import Damage, DamagedError, damaged_coordinates, damages, unchecked_zones
from storage.cube_place import BRANCH
from storage.errors import StorageError

EPSG, SIZE, SEASON = 32643, 256, 2021
TASKS = [uuid5(NAMESPACE_DNS, str(number)) for number in range(3)]
ALL = slice(0, 3 * SIZE), slice(0, SIZE)


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


def write(cube: Cube, number: int, message: str = "a tile") -> None:
    slot = cube.slot()
    slot.write(EPSG, SEASON, number * SIZE, 0, layers(number), TASKS[number])
    cube.commit(slot, message)


def filled(folder: Path) -> Cube:
    cube = Cube(folder, SIZE)
    cube.prepare(EPSG, SEASON)
    for number in range(3):
        write(cube, number)
    return cube


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube with three tiles. Tests change a copy."""
    folder = tmp_path_factory.mktemp("sound") / "cube"
    filled(folder)
    return folder


@pytest.fixture
def place(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "cube"))


def flip(path: Path, at: float, mask: int) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= mask
    path.write_bytes(content)


def read_all(cube: Cube) -> dict[str, np.ndarray]:
    return {name: cube.read(EPSG, SEASON, *ALL, name) for name in LAYERS}


def test_a_sound_cube_has_no_damage(sound: Path) -> None:
    view = Cube(sound, SIZE).view()
    assert list(damages(view)) == [] and unchecked_zones(view) == [] and damaged_coordinates(view) == []


@given(st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_a_flipped_byte_of_a_chunk_is_found_and_never_read(
    sound: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = Path(shutil.copytree(sound, tmp_path_factory.mktemp("flipped") / "cube"))
    names = sorted((place / "chunks").iterdir(), key=lambda path: (path.stat().st_size, path.name))
    path = data.draw(st.sampled_from(names))
    flip(path, data.draw(st.floats(0, 1)), data.draw(st.integers(1, 255)))
    cube = Cube(place, SIZE)
    expected = read_all(Cube(sound, SIZE))
    found = list(damages(cube.view()))
    if damaged_coordinates(cube.view()):
        assert found == []
        for name, values in read_all(cube).items():
            np.testing.assert_array_equal(values, expected[name])
        return
    (damage,) = found
    assert (damage.epsg, damage.season, damage.tile_col) == (EPSG, SEASON, 0)
    assert damage.task == TASKS[damage.tile_row]
    (part,) = damage.parts
    for name in LAYERS:
        # the sources of a tile are read with its mask
        if name == part or (name, part) == ("sources", "mask"):
            with pytest.raises(DamagedError, match=f"layer {name} of tile .*_{damage.tile_row:04d}_0000"):
                cube.read(EPSG, SEASON, *ALL, name)
        else:
            np.testing.assert_array_equal(cube.read(EPSG, SEASON, *ALL, name), expected[name])
    slot = cube.slot()
    slot.write(EPSG, SEASON, damage.tile_row * SIZE, 0, layers(damage.tile_row), damage.task)
    cube.commit(slot, "done again")
    assert list(damages(cube.view())) == []
    for name, values in read_all(cube).items():
        np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_lost_or_empty_chunk_is_damage(place: Path, change: Callable[[Path], object]) -> None:
    change(max((place / "chunks").iterdir(), key=lambda path: path.stat().st_size))
    cube = Cube(place, SIZE)
    (damage,) = damages(cube.view())
    with pytest.raises(DamagedError, match=r"season 2021 cannot be read \(.*monitor doctor --deep"):
        cube.read(EPSG, SEASON, *ALL, damage.parts[0])


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(s, marks=pytest.mark.prove) for s in range(8, 300))]
)
@pytest.mark.parametrize("folder", ["manifests", "snapshots", "refs/branch.main"])
def test_damaged_metadata_is_an_error_with_advice_and_no_wrong_value(
    place: Path, sound: Path, folder: str, seed: int
) -> None:
    chance = random.Random(seed)
    path = chance.choice(sorted((place / folder).iterdir()))
    flip(path, chance.random(), chance.randrange(1, 256))
    try:
        found = read_all(Cube(place, SIZE))
    except StorageError as error:
        assert names_remedy(str(error))
        return
    for name, values in read_all(Cube(sound, SIZE)).items():
        np.testing.assert_array_equal(found[name], values)


@contextmanager
def without_its_checks(place: Path) -> Iterator[zarr.Group]:
    """The root of a cube, to take away what damaged metadata seems not to have."""
    session = icechunk.Repository.open(icechunk.local_filesystem_storage(str(place))).writable_session(BRANCH)
    yield zarr.open_group(session.store, mode="r+")
    session.commit("damage")


def test_a_lost_layer_is_damage(place: Path) -> None:
    """Not a zone of an earlier version, of which the sources are known without it."""
    with without_its_checks(place) as root:
        del root[f"{EPSG}/r10m/sources"]
    cube = Cube(place, SIZE)
    with pytest.raises(StorageError, match=r"has lost 32643/r10m/sources: .* restore the cube"):
        cube.read(EPSG, SEASON, *ALL, "sources")
    with pytest.raises(StorageError, match="has lost 32643/r10m/sources"):
        list(damages(cube.view()))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_lost_entry_of_a_chunk_is_damage_and_no_fill_value(place: Path, layer: str) -> None:
    with without_its_checks(place) as root:
        sync(root.store.delete(f"{EPSG}/r10m/{layer}/c/0/1/0"))
    cube = Cube(place, SIZE)
    with pytest.raises(DamagedError, match=f"layer {layer} of tile 32643_256_0001_0000, season 2021"):
        cube.read(EPSG, SEASON, *ALL, layer)
    assert list(damages(cube.view())) == [Damage(EPSG, SEASON, 1, 0, (layer,), TASKS[1])]
    write(cube, 1)
    assert list(damages(cube.view())) == []
    found = cube.read(EPSG, SEASON, slice(SIZE, 2 * SIZE), ALL[1], layer)
    np.testing.assert_array_equal(found, layers(1)[layer])


def test_a_tile_without_a_value_has_all_chunks(tmp_path: Path) -> None:
    cube = Cube(tmp_path / "cube", SIZE)
    cube.prepare(EPSG, SEASON)
    empty = {name: np.full((SIZE, SIZE), layer.fill, layer.dtype) for name, layer in LAYERS.items()}
    cube.commit(cube.slot().write(EPSG, SEASON, 0, 0, empty, TASKS[0]), "a tile without data")
    view = cube.view()
    assert all(view.chunks(f"{EPSG}/r10m/{name}") == [(0, 0, 0)] for name in LAYERS)
    assert list(damages(view)) == []
    for name, values in empty.items():
        found = cube.read(EPSG, SEASON, slice(0, SIZE), slice(0, SIZE), name)
        np.testing.assert_array_equal(found, values)


def names_remedy(message: str) -> bool:
    return any(words in message for words in ("Check the path", "restore the cube", "monitor doctor --deep"))


def test_a_damaged_key_of_a_task_is_that_of_no_task(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan does the tile again. Small chunks lie inside the metadata, so the codec is made to fail."""
    from zarr.codecs import Crc32cCodec

    cube = Cube(place, SIZE)
    decode = Crc32cCodec._decode_sync

    def fails(self: Crc32cCodec, chunk: object, spec: object) -> object:
        if TASKS[1].bytes in chunk.to_bytes():  # type: ignore[attr-defined]
            raise ValueError("Stored and computed checksum do not match.")
        return decode(self, chunk, spec)  # type: ignore[arg-type]

    monkeypatch.setattr(Crc32cCodec, "_decode_sync", fails)
    assert cube.written(EPSG, SEASON) == {(0, 0): TASKS[0], (2, 0): TASKS[2]}
    assert list(damages(cube.view())) == [Damage(EPSG, SEASON, 1, 0, ("task",), None)]
    monkeypatch.undo()
    write(cube, 1)
    assert len(cube.written(EPSG, SEASON)) == 3


@pytest.fixture
def unchecked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cube:
    """As earlier versions made it, without checksums."""
    monkeypatch.setattr(cube_layout, "_PACKED", cube_layout._PACKED[:1])
    cube = filled(tmp_path / "old")
    monkeypatch.undo()
    return cube


def test_a_cube_without_checksums_is_read_and_written(unchecked: Cube) -> None:
    assert unchecked_zones(unchecked.view()) == [EPSG]
    unchecked.prepare(EPSG, SEASON + 1)
    write(unchecked, 1)
    np.testing.assert_array_equal(
        unchecked.read(EPSG, SEASON, slice(SIZE, 2 * SIZE), slice(0, SIZE), "mask"), layers(1)["mask"]
    )
    assert list(damages(unchecked.view())) == []
    unchecked.prepare(EPSG + 1, SEASON)
    assert unchecked_zones(unchecked.view()) == [EPSG], "a new zone has checksums"


def test_layers_that_contradict_each_other_are_damage(unchecked: Cube) -> None:
    slot = unchecked.slot()
    wrong = layers(1) | {"mask": np.zeros((SIZE, SIZE), np.uint8)}
    slot.write(EPSG, SEASON, SIZE, 0, wrong, TASKS[1])
    unchecked.commit(slot, "wrong")
    assert list(damages(unchecked.view())) == [Damage(EPSG, SEASON, 1, 0, ("mask",), TASKS[1])]


@pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(days=40)])
def test_commits_continue_after_the_clock_was_ahead(place: Path, ahead: timedelta) -> None:
    cube = Cube(place, SIZE)
    head = cube.head()
    before = cube._repository.lookup_snapshot(head).written_at
    set_time(cube.place, head, before, before + ahead)
    again = Cube(place, SIZE)
    with pytest.raises(icechunk.IcechunkError, match="invalid snapshot timestamp ordering"):
        session = again._repository.writable_session(BRANCH)
        again.view().root.attrs  # noqa: B018 - the cube can be read
        import zarr

        zarr.open_group(session.store, mode="r+").attrs["note"] = "as Icechunk commits"
        session.commit("refused")
    write(cube, 0, "with the snapshot in memory")
    write(again, 1, "with the wrong time in memory")
    again.prepare(EPSG, SEASON + 1)
    ancestors = [entry.id for entry in Cube(place, SIZE)._repository.ancestry(branch=BRANCH)]
    assert head in ancestors
    assert len(again.written(EPSG, SEASON)) == 3 and list(damages(again.view())) == []


def test_a_commit_whose_time_cannot_be_changed_names_the_time(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = Cube(place, SIZE)
    written = cube._repository.lookup_snapshot(cube.head()).written_at
    set_time(cube.place, cube.head(), written, written.replace(year=2100))
    path = place / "snapshots" / cube.head()
    monkeypatch.setattr("storage.cube_clock._SNAPSHOT", bytes((9, 9, 9)))
    content = path.read_bytes()
    with pytest.raises(StorageError, match=r"last committed at 2100-.* UTC, but it is 20.*Check the clock"):
        write(Cube(place, SIZE), 0)
    assert path.read_bytes() == content


def test_the_time_of_a_commit_in_an_object_store_is_not_changed() -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    with pytest.raises(ValueError, match="object store"):
        set_time("s3://bucket/cube", "A", now, now)
