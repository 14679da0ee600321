"""All real chips of the samples, split by place and written in one format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from training.card import table
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


def places(files: ChipFiles) -> str:
    """Markdown table of the places of the chips, as in `docs/real-scenes.md`."""
    head = ("place", "ground", "source", "licence", "split", "chips", "known", "water")
    rows = []
    for key, chips in files.table.groupby(["source", "place"], sort=True):
        pixels, known = int((chips["height"] * chips["width"]).sum()), int(chips["known_pixels"].sum())
        water = chips["water_pixels"].sum() / known
        grounds = ", ".join(
            sorted({ground.removeprefix(glacier_points.POINTS) for ground in chips["ground"]})
        )
        licence, split = chips["licence"].iloc[0].partition(" (")[0], chips["split"].iloc[0]
        shares = (f"{known / pixels:.1%}", f"{water:.1%}")
        rows.append((key[1], grounds, key[0], licence, split, len(chips), *shares))
    return table(head, rows)
