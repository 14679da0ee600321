"""Scores of the bundled model, the index baseline and simpler methods on public samples of real scenes.

    python -m benchmarks.real_samples [--samples ../shared/samples] [--json out.json]

The labels of Spain_7370579 (Sen1Floods11, a flood) are hand-made. Those of the three TerraMesh tiles are the
water class of a yearly land-cover map, which is weak and of another date. None shows a mountain lake. No
method was tuned to the samples; all thresholds except Otsu's are from other sources.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rasterio
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from skimage.filters import threshold_otsu

from monitor.grid import NORTHING_ORIGIN, PIXEL
from segmenter.indices import GREEN, NEAR_INFRARED, SHORT_WAVE, mndwi, ndwi
from segmenter.inputs import valid
from segmenter.manifest import OPTICAL_BANDS, RADAR_BANDS
from segmenter.opening import open_segmenter, read_manifests
from training.evaluate import predict
from training.real.terramesh import TILES

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT.parent / "shared" / "samples"
MODEL, INDEX = (ROOT / "models" / name for name in ("terramind-tiny", "index-baseline"))
SPAIN = "Spain_7370579"
#: offset of each TerraMesh tile, from digital numbers to reflectance x 10000
TERRAMESH = {name: offset for name, (_, _, _, offset) in TILES.items()}
#: water class of TerraMesh's land cover
LULC_WATER = 1
VH = RADAR_BANDS.index("VH")
#: Sen1Floods11 has the 13 bands of L1C; the cirrus band, which L2A lacks, is the eleventh
CIRRUS = 10
#: bands of ukis-csmask, and its water class before classes are merged: shadow, water, snow, land, cloud
#: (Wieland et al. 2019)
CSMASK_BANDS = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "swir16": "B11", "swir22": "B12"}
CSMASK_WATER = 1
CSMASK = "ukis-csmask[cpu]==0.2.1"
POOLED = "TerraMesh, all three"


@dataclass(frozen=True, eq=False)
class Sample:
    """A scene without halo, with its labels."""

    name: str
    optical: Floats
    radar: Floats
    #: None where the sample has no elevation
    dem: Floats | None
    water: Flags
    #: pixels that are labelled and have all inputs
    labelled: Flags
    row: int
    col: int
    l1c: bool = False


@dataclass(frozen=True)
class Counts:
    """Numbers of labelled pixels: true positives, false positives, false negatives."""

    hit: int = 0
    false: int = 0
    missed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hit + other.hit, self.false + other.false, self.missed + other.missed)

    def scores(self) -> dict[str, float | None]:
        """IoU, precision and recall; None where the divisor is 0."""
        parts = {
            "iou": self.hit + self.false + self.missed,
            "precision": self.hit + self.false,
            "recall": self.hit + self.missed,
        }
        return {name: round(self.hit / whole, 4) if whole else None for name, whole in parts.items()}


Method = Callable[[Sample], Flags]


def samples(folder: Path) -> Iterator[Sample]:
    """Spain_7370579 and the three TerraMesh tiles."""
    flood = folder / "sen1floods11"
    optical, affine = _read(flood / f"{SPAIN}_S2Hand.tif")
    radar, label = (_read(flood / f"{SPAIN}_{part}.tif")[0] for part in ("S1Hand", "LabelHand"))
    yield _sample(SPAIN, np.delete(optical, CIRRUS, axis=0), radar, None, label[0], 1, affine)
    for name, offset in TERRAMESH.items():
        parts = ((folder / "terramesh" / part / f"{name}.tif") for part in ("S2L2A", "S1RTC", "DEM", "LULC"))
        (optical, affine), (radar, _), (dem, _), (cover, _) = map(_read, parts)
        optical = np.where((optical == 0).all(axis=0), np.nan, np.maximum(optical + np.float32(offset), 0))
        yield _sample(name, optical, radar, dem[0], cover[0], LULC_WATER, affine)


def _sample(
    name: str, optical: Floats, radar: Floats, dem: Floats | None, label: Floats, water: int, affine: Any
) -> Sample:
    known = (label >= 0) & valid(optical, radar, np.zeros_like(label) if dem is None else dem)
    in_metres = affine.e == -PIXEL  # a sample in degrees has no position on the grid
    row, col = (round((NORTHING_ORIGIN - affine.f) / PIXEL), round(affine.c / PIXEL)) if in_metres else (0, 0)
    return Sample(name, optical, radar, dem, label == water, known, row, col, l1c=dem is None)


def _read(path: Path) -> tuple[Floats, Any]:
    if not path.is_file():
        raise SystemExit(f"{path} is missing: give the folder of the samples with --samples")
    with rasterio.open(path) as file:
        return file.read().astype(np.float32), file.transform


def of_folder(folder: Path) -> Method:
    """A model or the index baseline. Missing elevations are replaced by the model's mean elevation."""
    segmenter = open_segmenter([folder], "cpu")
    level = segmenter.manifest.inputs.DEM.mean[0]

    def method(sample: Sample) -> Flags:
        dem = np.full(sample.water.shape, level, np.float32) if sample.dem is None else sample.dem
        answer = predict(segmenter, sample.optical, sample.radar, dem, row=sample.row, col=sample.col)
        return np.nan_to_num(answer.probability) >= segmenter.manifest.threshold

    return method


def by_ndwi(sample: Sample) -> Flags:
    """NDWI above 0 (McFeeters 1996)."""
    return ndwi(sample.optical[GREEN], sample.optical[NEAR_INFRARED]) > 0


def by_mndwi(sample: Sample) -> Flags:
    """MNDWI above 0 (Xu 2006)."""
    return mndwi(sample.optical[GREEN], sample.optical[SHORT_WAVE]) > 0


def by_radar(sample: Sample) -> Flags:
    """Unfiltered VH in dB below the threshold of Otsu (1979) for the scene."""
    backscatter = sample.radar[VH]
    dark: Flags = backscatter < threshold_otsu(backscatter[sample.labelled])
    return dark


def by_csmask() -> Method | None:
    """Water class of ukis-csmask at 10 m; None where the package is not installed.

    Its result merges water with land, so the classes are taken from the call that merges them.
    """
    try:
        from ukis_csmask import mask
    except ImportError:
        return None

    def method(sample: Sample) -> Flags:
        bands = [OPTICAL_BANDS.index(band) for band in CSMASK_BANDS.values()]
        image = np.ascontiguousarray(np.moveaxis(np.nan_to_num(sample.optical[bands]) / 10000, 0, -1))
        seen: list[Any] = []

        def keep(classes: Any, joined: Any) -> Any:
            seen.append(classes)
            return join(classes, joined)

        join = mask.reclassify
        with mock.patch.object(mask, "reclassify", keep):
            mask.CSmask(image.astype(np.float32), list(CSMASK_BANDS), intra_op_num_threads=1)
        water: Flags = seen[0] == CSMASK_WATER
        return water

    return method


def methods() -> dict[str, Method | None]:
    """Methods by name; None for a method whose package is not installed."""
    names = [f"{m.name} {m.version}" for m in (read_manifests([MODEL]), read_manifests([INDEX]))]
    return {
        names[0]: of_folder(MODEL),
        names[1]: of_folder(INDEX),
        "NDWI > 0": by_ndwi,
        "MNDWI > 0": by_mndwi,
        "VH below Otsu's threshold": by_radar,
        "ukis-csmask 0.2.1, water class": by_csmask(),
    }


def measure(folder: Path = SAMPLES) -> dict[str, Any]:
    """Scores of every method on every sample and on the three tiles together; None where not measured."""
    scenes = list(samples(folder))
    found: dict[str, dict[str, Any] | None] = {}
    for name, method in methods().items():
        if method is None:
            found[name] = None
            continue
        counts = {scene.name: _count(scene, method(scene)) for scene in scenes}
        counts[POOLED] = sum((counts[tile] for tile in TERRAMESH), Counts())
        found[name] = {scene: count.scores() for scene, count in counts.items()}
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "water_share": {scene.name: round(float(scene.water[scene.labelled].mean()), 4) for scene in scenes},
        "scores": found,
    }


def _count(sample: Sample, mapped: Flags) -> Counts:
    mapped, water = mapped & sample.labelled, sample.water & sample.labelled
    return Counts(int((mapped & water).sum()), int((mapped & ~water).sum()), int((water & ~mapped).sum()))


def table(folder: Path = SAMPLES) -> Table:
    """Measure all methods and return the table for `rich`."""
    return drawn(measure(folder))


def drawn(result: Mapping[str, Any]) -> Table:
    """Table of the result of `measure`."""
    shares = result["water_share"]
    shown = Table(
        title="Water on real samples: IoU (precision / recall)",
        caption="Spain: hand-made labels; L1C, ground range and no elevation, which do not conform to the "
        "manifest of the bundled model (*). TerraMesh: weak labels of a yearly land-cover map; a tile "
        "without "
        "water has no recall, and an IoU of 0 if any water is mapped.",
    )
    shown.add_column("method")
    for name in (*shares, POOLED):
        shown.add_column(f"{name}\nwater {shares[name]:.1%}" if name in shares else name, justify="right")
    for number, (method, scores) in enumerate(result["scores"].items()):
        if scores is None:
            shown.add_row(escape(f"{method}\nnot measured: pip install '{CSMASK}'"))
            continue
        cells = [_cell(scores[name]) for name in (*shares, POOLED)]
        shown.add_row(method, cells[0] + (" *" if number == 0 else ""), *cells[1:])
    return shown


def _cell(scores: Mapping[str, float | None]) -> str:
    iou, precision, recall = ("-" if value is None else f"{value:.3f}" for value in scores.values())
    return f"{iou} ({precision} / {recall})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, default=SAMPLES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options.samples)
    Console().print(drawn(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
