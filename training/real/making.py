"""All real chips of the samples, split by place and written in one format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from training.chip_files import Chip, ChipFiles, write_chips
from training.errors import TrainingError
from training.real import bigearthnet, dsen2, eotdl, glacier_points, sen1floods11, terramesh, ukis
from training.real.split import split_places

Adapter = Callable[[Path], Iterator[Chip]]
#: adapters by the folder of samples that they read
ADAPTERS: dict[str, Adapter] = {
    "terramesh": terramesh.chips,
    "real/eotdl": eotdl.chips,
    "real/ukis_csmask": ukis.chips,
    "real/dsen2": dsen2.chips,
    "bigearthnet": bigearthnet.chips,
    "real/glacier_points_usgs": glacier_points.chips,
    "sen1floods11": sen1floods11.chips,
}


def real_chips(samples: Path) -> list[Chip]:
    """The chips of all samples that are present below `samples`, split by place.

    Those that an adapter marks as test are for nothing else.

    Raises:
        TrainingError: there are none.
    """
    found = [chip for name, chips in ADAPTERS.items() if (samples / name).is_dir() for chip in chips(samples)]
    if not found:
        raise TrainingError(f"{samples}: has none of {', '.join(ADAPTERS)}; name the folder of samples")
    splits = split_places({chip.place: chip.ground for chip in found if chip.split != "test"})
    return [replace(chip, split=splits.get(chip.place, "test")) for chip in found]


def make_real_chips(samples: Path, out: Path) -> ChipFiles:
    """Write the chips of `real_chips` to the folder `out`."""
    return write_chips(out, real_chips(samples))
