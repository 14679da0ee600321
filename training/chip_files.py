"""Chips in Parquet files: simulated and real ones, with labels and provenance, in one schema.

A folder holds `chips-00000.parquet`, `chips-00001.parquet`, ..., compressed with zstd. Every chip is a row
group of its own, so that one chip is read without the others, and the columns are plain: pandas, pyarrow and
Hugging Face `datasets` read them. Arrays are bytes of little-endian numbers, row by row:

| column | type | content |
|---|---|---|
| name | string | unique name of the chip |
| place | string | unit of the split: chips of one place are in one split |
| ground | string | class of the ground, such as coast or forest; "" if it has none |
| origin | string | simulated or real |
| source, licence | string | data set of the pixels, and its licence |
| split | string | train, validation or test |
| day | date32, null | date of the optical image |
| sensors | list of string | sensors of the chip, of S2L2A, S1, DEM |
| height, width | int32 | H and W of all arrays |
| optical | binary, null | float16 (12, H, W): reflectance x 10000 without offset, NaN where missing |
| radar | binary, null | float16 (2, H, W): VV, VH in dB, NaN where missing |
| dem | binary, null | float32 (H, W): metres, NaN where missing |
| labels | binary | uint8 (H, W): 0 ... 200 in proportion to the share of water, 255 unknown |
| epsg | int32, null | coordinate system |
| left, top | float64, null | upper-left corner, in its units |
| pixel | float64, null | edge of a pixel, in its units; null where pixels are not square |
| water_pixels, known_pixels | int32 | pixels with at least half water; pixels with a label |

The schema's metadata have the key `bands` with the names of the bands.
"""

from __future__ import annotations

import json
import operator
import shutil
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, Literal, SupportsIndex, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import DTypeLike, NDArray

from segmenter.manifest import OPTICAL_BANDS, RADAR_BANDS, ModalityName
from training.errors import TrainingError
from training.labels import FULL, IGNORED

Split: TypeAlias = Literal["train", "validation", "test"]
Origin: TypeAlias = Literal["simulated", "real"]
#: chips per file
SHARD = 256
_ARRAYS = ("optical", "radar", "dem", "labels")
_SCHEMA = pa.schema(
    [
        *(
            pa.field(name, pa.string(), nullable=False)
            for name in ("name", "place", "ground", "origin", "source", "licence", "split")
        ),
        pa.field("day", pa.date32()),
        pa.field("sensors", pa.list_(pa.string()), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        *(pa.field(name, pa.binary(), nullable=name != "labels") for name in _ARRAYS),
        pa.field("epsg", pa.int32()),
        *(pa.field(name, pa.float64()) for name in ("left", "top", "pixel")),
        pa.field("water_pixels", pa.int32(), nullable=False),
        pa.field("known_pixels", pa.int32(), nullable=False),
    ],
    metadata={"bands": json.dumps({"optical": OPTICAL_BANDS, "radar": RADAR_BANDS, "dem": ["DEM"]})},
)
_FACTS = [name for name in _SCHEMA.names if name not in _ARRAYS]


@dataclass(frozen=True, eq=False)
class Chip:
    """One chip; the module's table explains the fields."""

    name: str
    place: str
    origin: Origin
    source: str
    licence: str
    split: Split
    day: date | None
    sensors: tuple[ModalityName, ...]
    optical: NDArray[np.float16] | None
    radar: NDArray[np.float16] | None
    dem: NDArray[np.float32] | None
    labels: NDArray[np.uint8]
    epsg: int | None = None
    left: float | None = None
    top: float | None = None
    pixel: float | None = None
    ground: str = ""

    def __post_init__(self) -> None:
        height, width = self.labels.shape
        shapes = {
            "optical": (len(OPTICAL_BANDS), height, width),
            "radar": (len(RADAR_BANDS), height, width),
            "dem": (height, width),
        }
        for (name, shape), sensor in zip(shapes.items(), ("S2L2A", "S1", "DEM"), strict=True):
            array = getattr(self, name)
            if (array is not None) != (sensor in self.sensors):
                raise TrainingError(f"chip {self.name}: {name} and {sensor} in sensors must go together")
            if array is not None and array.shape != shape:
                raise TrainingError(f"chip {self.name}: {name} must be {shape}, got {array.shape}")


def write_chips(folder: Path, chips: Iterable[Chip]) -> ChipFiles:
    """Write chips to `folder`, which is replaced if it holds chips already.

    The files are written beside it and renamed when they are complete, so a stopped write leaves no half set.

    Raises:
        TrainingError: there are no chips, two have one name, a place is in two splits, or `folder` is
            something else than a folder of chips.
    """
    if folder.exists() and not (folder.is_dir() and all(is_shard(path) for path in folder.iterdir())):
        raise TrainingError(f"{folder}: is no folder of chips; choose another folder")
    unfinished = folder.with_name(f"unfinished-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    names: set[str] = set()
    split_of: dict[str, Split] = {}
    remaining = iter(chips)
    while shard := list(islice(remaining, SHARD)):
        path = unfinished / f"chips-{len(names) // SHARD:05d}.parquet"
        with pq.ParquetWriter(path, _SCHEMA, compression="zstd", use_dictionary=False) as writer:
            for chip in shard:
                if chip.name in names:
                    raise TrainingError(f"chip {chip.name}: two chips have this name")
                if split_of.setdefault(chip.place, chip.split) != chip.split:
                    raise TrainingError(f"chip {chip.name}: {chip.place} is in two splits")
                names.add(chip.name)
                writer.write_table(pa.Table.from_pylist([_row(chip)], schema=_SCHEMA), row_group_size=1)
    if not names:
        raise TrainingError(f"{folder}: there are no chips to write")
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)
    return ChipFiles(folder)


def is_shard(path: Path) -> bool:
    """Whether a file has the name of a file of chips."""
    return path.match("chips-*.parquet")


def _row(chip: Chip) -> dict[str, Any]:
    facts = {name: getattr(chip, name) for name in _FACTS if hasattr(chip, name)}
    facts["sensors"] = list(chip.sensors)
    facts["height"], facts["width"] = chip.labels.shape
    known = chip.labels != IGNORED
    facts["known_pixels"] = int(known.sum())
    facts["water_pixels"] = int((known & (chip.labels >= FULL // 2)).sum())
    facts["optical"] = _bytes(chip.optical, "<f2")
    facts["radar"] = _bytes(chip.radar, "<f2")
    facts["dem"] = _bytes(chip.dem, "<f4")
    facts["labels"] = _bytes(chip.labels, "u1")
    return facts


def _bytes(array: NDArray[Any] | None, dtype: DTypeLike) -> bytes | None:
    return None if array is None else np.ascontiguousarray(array, dtype).tobytes()


class ChipFiles:
    """The chips of a folder. Threads and processes can share it: every read opens its file anew."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(path for path in folder.glob("*") if is_shard(path))
        if not self._paths:
            raise TrainingError(f"{folder}: has no files of chips; write them (`training chips`)")
        # parsed once, since parsing takes longer than reading a chip
        self._footers = [pq.read_metadata(path) for path in self._paths]
        self._starts = [0]
        for footer in self._footers:
            self._starts.append(self._starts[-1] + footer.num_row_groups)
        parts = []
        for shard in range(len(self._paths)):
            with self._open(shard) as file:
                parts.append(file.read(columns=_FACTS, use_threads=False))
        #: everything but the arrays, a row a chip
        self.table: pd.DataFrame = pa.concat_tables(parts).to_pandas()

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, number: SupportsIndex) -> Chip:
        """Read one chip.

        Raises:
            IndexError: there is none of this number.
        """
        index = operator.index(number)
        if not 0 <= index < len(self):
            raise IndexError(f"chip {index} of {len(self)}")
        shard = bisect_right(self._starts, index) - 1
        with self._open(shard) as file:
            group = file.read_row_group(index - self._starts[shard], use_threads=False)
        return _chip(group.to_pylist()[0])

    def _open(self, shard: int) -> pq.ParquetFile:
        return pq.ParquetFile(self._paths[shard], metadata=self._footers[shard], memory_map=True)


def _chip(row: dict[str, Any]) -> Chip:
    height, width = row.pop("height"), row.pop("width")
    del row["water_pixels"], row["known_pixels"]
    return Chip(
        **row
        | {
            "sensors": tuple(row["sensors"]),
            "optical": _array(row["optical"], "<f2", (len(OPTICAL_BANDS), height, width)),
            "radar": _array(row["radar"], "<f2", (len(RADAR_BANDS), height, width)),
            "dem": _array(row["dem"], "<f4", (height, width)),
            "labels": _array(row["labels"], "u1", (height, width)),
        }
    )


def _array(content: bytes | None, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any] | None:
    return None if content is None else np.frombuffer(content, dtype).reshape(shape)
