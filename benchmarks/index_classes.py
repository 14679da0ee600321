"""Share of pixels that the index baseline calls water, by class of ground, with and without its red edge.

    python -m benchmarks.index_classes [--samples ../shared/samples]

Real pixels: the hand-classified ones of six glaciers (R. Aberle, 2025), the water of the samples of
`benchmarks.real_samples`, and the chips of EOTDL, of which water is what both indices call water. Without a
sample's radar and elevation, the ground is level and calm, so that the bands decide alone.
Simulated pixels: two worlds with their relief, all dates, without the simulated clouds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.real_samples import INDEX, SAMPLES, samples
from segmenter.baseline import IndexBaseline
from segmenter.indices import GREEN, NEAR_INFRARED, REACH, SHORT_WAVE, mndwi, ndwi
from segmenter.manifest import OPTICAL_BANDS, read_manifest
from simulator.archive import plan_passes
from simulator.optical import render
from simulator.settings import PAD, Settings
from simulator.world import build_world

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
CLASSES = {1: "snow", 2: "snow in shadow", 3: "ice", 4: "rock, debris", 5: "proglacial lake"}
#: of two other glaciers, which no threshold was fitted to; band 12 is missing and taken to equal band 11
UNSEEN_CLASSES = {1: "snow, other glaciers", 0: "not snow, other glaciers"}
#: backscatter of calm water in dB, for samples without radar
CALM = -18.0
SEEDS, SIZE = (901, 902), 512


@dataclass(frozen=True, eq=False)
class Group:
    """Pixels of one class in a scene: the inputs, and which pixels count."""

    name: str
    optical: Floats
    counted: Flags
    radar: Floats | None = None
    dem: Floats | None = None


def groups(folder: Path) -> Iterator[Group]:
    """All groups, real ones first; groups of one name are counted together."""
    points = folder / "real" / "glacier_points_usgs"
    yield from _points(points / "Sentinel-2_SR_training_data.csv", CLASSES)
    yield from _points(points / "Sentinel-2_SR_manually_classified_points.csv", UNSEEN_CLASSES)
    for scene in samples(folder):
        if scene.water.any():
            counted = scene.water & scene.labelled
            yield Group(f"water of {scene.name}", scene.optical, counted, scene.radar, scene.dem)
        else:
            yield Group(f"dry: {scene.name}", scene.optical, scene.labelled, scene.radar, scene.dem)
    chips = folder / "real" / "eotdl"
    for path in sorted(chips.glob("*/*.tif")):
        name = path.parent.name
        if name == "eurosat13":  # top-of-atmosphere reflectance
            continue
        optical = _read(path)
        wet = ndwi(optical[GREEN], optical[NEAR_INFRARED]) > 0
        wet &= mndwi(optical[GREEN], optical[SHORT_WAVE]) > 0
        if name == "baltic_coast":
            yield Group("water of baltic_coast, by both indices", optical, wet)
        else:
            yield Group(f"dry: {name}", optical, np.ones_like(wet))
    for seed in SEEDS:
        yield from _simulated(seed)


def _points(path: Path, classes: Mapping[int, str]) -> Iterator[Group]:
    table = pd.read_csv(path)
    if "B12" not in table:
        table["B12"] = table["B11"]
    names = [f"B{band[1:].lstrip('0')}" for band in OPTICAL_BANDS]
    optical = np.moveaxis(table[names].to_numpy(np.float32)[:, None] * 10000, -1, 0)
    for number, name in classes.items():
        yield Group(f"points: {name}", optical, (table["class"] == number).to_numpy()[:, None])


def _read(path: Path) -> Floats:
    with rasterio.open(path) as file:
        values = file.read().astype(np.float32)
    return np.where((values == 0).all(axis=0), np.float32(np.nan), values)


def _simulated(seed: int) -> Iterator[Group]:
    world = build_world(Settings(seed=seed, size=SIZE, seasons=(2021,)))
    plan, inner = plan_passes(world), slice(PAD, PAD + SIZE)
    water = world.water[2021]
    covered, frozen = np.zeros(SIZE * SIZE, np.float32), np.zeros(SIZE * SIZE, bool)
    covered[water.pixels] = water.share
    frozen[water.pixels] = [world.lakes[number].states[0] == "frozen" for number in water.lake]
    covered, frozen = covered.reshape(SIZE, SIZE), frozen.reshape(SIZE, SIZE)
    for date, sky in zip(plan.optical, plan.skies, strict=True):
        scene = render(world, date, sky)
        optical = np.stack([_to_10_m(scene.bands[band], date.offset) for band in OPTICAL_BANDS])
        clear = np.asarray(sky.clear, bool)
        dem = world.height[inner, inner].astype(np.float32)
        for name, where in (
            ("simulated: lakes", (covered > 0.5) & ~frozen),
            ("simulated: frozen lakes", (covered > 0.5) & frozen),
            ("simulated: ground, snow and ice", covered == 0),
        ):
            yield Group(name, optical, where & clear, dem=dem)


def _to_10_m(numbers: NDArray[np.uint16], offset: int) -> Floats:
    """Reflectance x 10000 (SIZE, SIZE) of digital numbers at native resolution."""
    times = -(-SIZE // numbers.shape[0])
    whole = numbers.astype(np.float32).repeat(times, 0).repeat(times, 1)
    return np.maximum(whole[:SIZE, :SIZE] - offset, 0)


def called_water(baseline: IndexBaseline, group: Group) -> tuple[int, int]:
    """Number of counted pixels with an answer, and of those that are water."""
    margin = ((REACH, REACH), (REACH, REACH))
    shape = group.counted.shape
    radar = np.full((2, *shape), CALM, np.float32) if group.radar is None else group.radar
    dem = np.zeros(shape, np.float32) if group.dem is None else group.dem
    optical, radar = (
        np.pad(layer, ((0, 0), *margin), constant_values=np.nan) for layer in (group.optical, radar)
    )
    answer = baseline.predict(optical, radar, np.pad(dem, margin, mode="edge"), row=0, col=0, halo=REACH)
    known = group.counted & np.isfinite(answer.probability)
    return int(known.sum()), int((answer.probability[known] >= baseline.manifest.threshold).sum())


def measure(folder: Path = SAMPLES) -> dict[str, NDArray[np.int64]]:
    """By group: its pixels, and those called water without and with the red edge."""
    manifest = read_manifest(INDEX)
    assert manifest.index is not None
    before: Any = manifest.model_copy(update={"index": manifest.index.model_copy(update={"red_edge": None})})
    found: dict[str, NDArray[np.int64]] = {}
    for group in groups(folder):
        pixels, wet = called_water(IndexBaseline(manifest), group)
        counts = np.array([pixels, called_water(IndexBaseline(before), group)[1], wet])
        found[group.name] = found.get(group.name, np.zeros(3, np.int64)) + counts
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, default=SAMPLES)
    table = Table("pixels of", "number", "water before", "water now")
    for name, (pixels, before, now) in measure(parser.parse_args().samples).items():
        table.add_row(name, f"{pixels:,}", f"{before / pixels:.2%}", f"{now / pixels:.2%}")
    Console().print(table)


if __name__ == "__main__":
    main()
