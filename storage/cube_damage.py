"""Damage of the cube: errors that name the tile, and the reading of every chunk.

Every chunk has a checksum (`storage.cube_layout`), so that a damaged one cannot be read unnoticed. The
metadata has none: a part of it may seem to be missing, so that every chunk of a written tile must be there.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from storage import cube_layout as layout
from storage.codes import NO_ANSWER
from storage.cube_layout import LAYERS, OVERVIEW
from storage.errors import StorageError

if TYPE_CHECKING:
    from storage.cube_view import CubeView

__all__ = [
    "Damage",
    "DamagedError",
    "damaged_coordinates",
    "damages",
    "readable",
    "readable_metadata",
    "unchecked_zones",
]

#: of a wrong checksum or wrong bytes (zarr and its codecs), and of a missing or unreadable file (Icechunk)
_FAULTS = (ValueError, TypeError, RuntimeError, OSError, EOFError, icechunk.IcechunkError)
#: of Icechunk when it reads metadata with an impossible value; it can only be recognised by its name
_PANIC = "PanicException"
_TASK = "task"


class DamagedError(StorageError):
    """A part of the cube cannot be read."""


@dataclass(frozen=True, order=True)
class Damage:
    """A tile of a season of which a chunk cannot be read."""

    epsg: int
    season: int
    tile_row: int
    tile_col: int
    parts: tuple[str, ...]
    """Names of the layers that are damaged; overviews as "r20m/mask", the task's key as "task"."""
    task: UUID | None
    """Key of the task that wrote the tile, None if it cannot be read."""


@contextmanager
def readable(what: str, season: int) -> Iterator[None]:
    """Convert the errors of damaged chunks to a `DamagedError` that names `what`."""
    try:
        yield
    except StorageError:
        raise
    except _FAULTS as error:
        raise DamagedError(
            f"The cube is damaged: {what}, season {season} cannot be read ({_reason(error)}). "
            "Run `monitor doctor --deep`, which finds all damaged tiles, and then "
            f"`monitor run --season {season}`, which does them again."
        ) from error


@contextmanager
def readable_metadata() -> Iterator[None]:
    """Convert the errors of damaged metadata, which all tiles need, to a `DamagedError`."""
    try:
        yield
    except (StorageError, FileNotFoundError):  # not found: a group that does not exist
        raise
    except BaseException as error:
        if not isinstance(error, _FAULTS) and type(error).__name__ != _PANIC:
            raise
        raise DamagedError(
            f"The cube's metadata cannot be read ({_reason(error)}). If it is damaged, restore the cube from "
            "a backup; without one, move its folder away and run the seasons again, which predicts their "
            "tiles again."
        ) from error


def unchecked_zones(view: CubeView) -> list[int]:
    """Zones that an earlier version made, whose chunks have no checksum."""
    with readable_metadata():
        return [epsg for epsg in view.zones() if not _is_checked(layout.zone(view.root, epsg))]


def damages(view: CubeView) -> Iterator[Damage]:
    """Read every chunk of the cube, and return the tiles with a damaged one.

    In zones without checksums, only what cannot be decoded or what contradicts another layer is found.

    Raises:
        DamagedError: the metadata is damaged.
    """
    for epsg in view.zones():
        with readable_metadata():
            group = layout.zone(view.root, epsg)
            seasons = layout.seasons(group)
            arrays = _arrays(group)
            written = {name: set(view.chunks(f"{epsg}/{name}")) for name in arrays}
            every = layout.stores_every_chunk(group)
        places = sorted({place[:3] for places in written.values() for place in places})

        def look(
            place: tuple[int, ...], arrays: Any = arrays, written: Any = written, every: bool = every
        ) -> tuple[tuple[str, ...], UUID | None]:
            mine = {name: array for name, array in arrays.items() if _chunk(place, name) in written[name]}
            missing = arrays.keys() - mine.keys() if every and _TASK in mine else set()
            return _look(mine, place, missing)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for place, (parts, task) in zip(places, pool.map(look, places), strict=True):
                if parts:
                    yield Damage(epsg, seasons[place[0]], place[1], place[2], parts, task)


def damaged_coordinates(view: CubeView) -> list[str]:
    """The coordinates of zones that cannot be read, such as "y of EPSG:32643"; no tile depends on them."""
    found = []
    for epsg in view.zones():
        for level, group in layout.zone(view.root, epsg).groups():
            for name in ("y", "x"):
                try:
                    layout.array(group, name)[:]
                except _FAULTS:
                    found.append(f"{name} of EPSG:{epsg} ({level})")
    return found


def _arrays(group: zarr.Group) -> dict[str, zarr.Array[Any]]:
    """The arrays with a chunk for each tile, by their path in the group of a zone."""
    first = layout.level_name(1)
    lacking = [] if layout.stores_every_chunk(group) else layout.lacking(group)
    names = [_TASK, *(f"{first}/{layer}" for layer in LAYERS if layer not in lacking)]
    names += [f"{level}/{OVERVIEW}" for level, _ in sorted(group.groups()) if level != first]
    return {name: layout.array(group, name) for name in names}


def _chunk(place: tuple[int, ...], name: str) -> tuple[int, ...]:
    return (*place, 0) if name == _TASK else place


def _look(
    arrays: Mapping[str, zarr.Array[Any]], place: tuple[int, ...], missing: Collection[str]
) -> tuple[tuple[str, ...], UUID | None]:
    """The damaged parts of a tile, of which some are missing, and the task that wrote it."""
    found: dict[str, NDArray[Any]] = {}
    broken = sorted(missing)
    for name, array in arrays.items():
        try:
            found[name] = np.asarray(array.blocks[_chunk(place, name)])
        except _FAULTS:
            broken.append(name)
    task = found.pop(_TASK, None)
    mask = found.get(f"{layout.level_name(1)}/{OVERVIEW}")
    probability = found.get(f"{layout.level_name(1)}/probability")
    if mask is not None and probability is not None and not _agree(mask, probability):
        broken.append(f"{layout.level_name(1)}/{OVERVIEW}")
    parts = tuple(name.removeprefix(f"{layout.level_name(1)}/") for name in broken)
    return parts, UUID(bytes=task.tobytes()) if task is not None and task.any() else None


def _agree(mask: NDArray[Any], probability: NDArray[Any]) -> bool:
    """Whether exactly the pixels with an answer have a probability, which is between 0 and 1."""
    answered = np.isfinite(probability)
    return bool(
        np.array_equal(answered, mask != NO_ANSWER)
        and (mask[answered] <= 1).all()
        and ((probability[answered] >= 0) & (probability[answered] <= 1)).all()
    )


def _is_checked(group: zarr.Group) -> bool:
    mask = layout.array(group, f"{layout.level_name(1)}/{OVERVIEW}")
    return any(isinstance(codec, Crc32cCodec) for codec in mask.compressors)


def _reason(error: BaseException) -> str:
    lines = [line.strip(" x×") for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
