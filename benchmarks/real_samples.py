"""Who finds water on the few real samples at hand: the bundled model, the index baseline, and simpler ways.

    python -m benchmarks.real_samples [--samples ../shared/samples] [--json out.json]

The labels are hand-made for Sen1Floods11's Spain_7370579, a flood; for the three TerraMesh tiles they are the
water of a yearly land-cover map: weak, of another date, and none of them a mountain lake. Nothing was tuned
to them, and every way but Otsu's has its threshold from elsewhere.
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
from training.evaluate import LULC_WATER, TERRAMESH, predict

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT.parent / "shared" / "samples"
MODEL, INDEX = (ROOT / "models" / name for name in ("terramind-tiny-simulated", "index-baseline"))
SPAIN = "Spain_7370579"
VH = RADAR_BANDS.index("VH")
#: Sen1Floods11 has L1C's 13 bands; the cirrus band, which L2A lacks, is the eleventh
CIRRUS = 10
#: of ukis-csmask's five classes (shadow, water, snow, land, cloud; Wieland et al. 2019) before it joins them
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
    #: pixels that are labelled and seen by every way
    judged: Flags
    row: int
    col: int
    l1c: bool = False


@dataclass(frozen=True)
class Counts:
    """Judged pixels: water to both, to the way alone, to the label alone."""

    both: int = 0
    way: int = 0
    label: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.both + other.both, self.way + other.way, self.label + other.label)

    def scores(self) -> dict[str, float | None]:
        """IoU, precision and recall; None where there is nothing to divide by."""
        parts = {
            "iou": self.both + self.way + self.label,
            "precision": self.both + self.way,
            "recall": self.both + self.label,
        }
        return {name: round(self.both / whole, 4) if whole else None for name, whole in parts.items()}


Way = Callable[[Sample], Flags]


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
    in_metres = affine.e == -PIXEL  # a sample in degrees has no place on the grid, and needs none
    row, col = (round((NORTHING_ORIGIN - affine.f) / PIXEL), round(affine.c / PIXEL)) if in_metres else (0, 0)
    return Sample(name, optical, radar, dem, label == water, known, row, col, l1c=dem is None)


def _read(path: Path) -> tuple[Floats, Any]:
    if not path.is_file():
        raise SystemExit(f"{path} is missing: name the folder of the samples with --samples")
    with rasterio.open(path) as file:
        return file.read().astype(np.float32), file.transform


def of_folder(folder: Path) -> Way:
    """A model, or the index. A scene without elevation gets level ground, at the mean of its training."""
    segmenter = open_segmenter([folder], "cpu")
    level = segmenter.manifest.inputs.DEM.mean[0]

    def way(sample: Sample) -> Flags:
        dem = np.full(sample.water.shape, level, np.float32) if sample.dem is None else sample.dem
        said = predict(segmenter, sample.optical, sample.radar, dem, row=sample.row, col=sample.col)
        return np.nan_to_num(said.probability) >= segmenter.manifest.threshold

    return way


def by_ndwi(sample: Sample) -> Flags:
    """McFeeters (1996)."""
    return ndwi(sample.optical[GREEN], sample.optical[NEAR_INFRARED]) > 0


def by_mndwi(sample: Sample) -> Flags:
    """Xu (2006)."""
    return mndwi(sample.optical[GREEN], sample.optical[SHORT_WAVE]) > 0


def by_radar(sample: Sample) -> Flags:
    """VH in dB, unfiltered, below the threshold of Otsu (1979) over the scene."""
    darkness = sample.radar[VH]
    dark: Flags = darkness < threshold_otsu(darkness[sample.judged])
    return dark


def by_csmask() -> Way | None:
    """The water class inside ukis-csmask, at 10 m; None where the package is absent.

    Its answer joins water with land, so the classes are taken where it joins them.
    """
    try:
        from ukis_csmask import mask
    except ImportError:
        return None

    def way(sample: Sample) -> Flags:
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

    return way


def ways() -> dict[str, Way | None]:
    """Every row of the table; None for one that cannot be measured here."""
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
    """Scores of every way on every sample, and on the three tiles together; None where not measured."""
    scenes = list(samples(folder))
    found: dict[str, dict[str, Any] | None] = {}
    for name, way in ways().items():
        if way is None:
            found[name] = None
            continue
        counts = {scene.name: _count(scene, way(scene)) for scene in scenes}
        counts[POOLED] = sum((counts[tile] for tile in TERRAMESH), Counts())
        found[name] = {scene: count.scores() for scene, count in counts.items()}
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "water_share": {scene.name: round(float(scene.water[scene.judged].mean()), 4) for scene in scenes},
        "scores": found,
    }


def _count(sample: Sample, said: Flags) -> Counts:
    said, water = said & sample.judged, sample.water & sample.judged
    return Counts(int((said & water).sum()), int((said & ~water).sum()), int((water & ~said).sum()))


def table(folder: Path = SAMPLES) -> Table:
    """IoU with precision and recall of every way, as `rich` prints it."""
    return drawn(measure(folder))


def drawn(result: Mapping[str, Any]) -> Table:
    """The table of what `measure` gave."""
    shares = result["water_share"]
    shown = Table(
        title="Water on real samples: IoU (precision / recall)",
        caption="Spain: hand-made labels; L1C, ground range and no elevation, so the bundled model (*) is "
        "outside of its manifest there. TerraMesh: weak labels of a yearly land-cover map; a tile without "
        "water has no recall, and any water found in it gives 0.",
    )
    shown.add_column("way")
    for name in (*shares, POOLED):
        shown.add_column(f"{name}\nwater {shares[name]:.1%}" if name in shares else name, justify="right")
    for number, (way, scores) in enumerate(result["scores"].items()):
        if scores is None:
            shown.add_row(escape(f"{way}\nnot measured: pip install '{CSMASK}'"))
            continue
        cells = [_cell(scores[name]) for name in (*shares, POOLED)]
        shown.add_row(way, cells[0] + (" *" if number == 0 else ""), *cells[1:])
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
