"""Distances between simulated and real reflectances of snow, shadowed snow, ice, rock and proglacial water.

    python -m benchmarks.spectra [--samples ../shared/samples] [--seeds 24] [--json out.json]

Real pixels: the hand-classified L2A pixels of `real/glacier_points_usgs` (Sentinel-2, four glaciers of North
America, eight dates of 2021). Simulated pixels: rendered scenes of several seeds, with light, haze, shadow,
blur and noise, where the simulated ground is known to be of one class.

- distance: mean over the 12 bands of the Wasserstein distance between the two distributions of a band, in
  reflectance (0 = equal);
- covered: share of the real values (pixel and band) between the 1 % and 99 % quantiles of the simulated ones;
- probe: balanced accuracy of a logistic regression on the logarithms of the 12 reflectances that separates
  real from simulated pixels, on dates and seeds that it was not fitted to (0.5 = cannot separate them).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import wasserstein_distance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from simulator.archive import plan_passes
from simulator.calendar import OpticalPass
from simulator.clouds import Sky
from simulator.light import light
from simulator.optical import render, seasonal_snow
from simulator.settings import PAD, Settings
from simulator.spectra import BANDS
from simulator.surfaces import shares
from simulator.world import World, build_world

Floats = NDArray[np.float32]
ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT.parent / "shared" / "samples"
POINTS = Path("real/glacier_points_usgs/Sentinel-2_SR_training_data.csv")
#: numbers of the classes in the file of points
CLASSES = {1: "snow", 2: "shadowed snow", 3: "ice", 4: "rock, debris", 5: "proglacial water"}
ROCKS = ("rock_granite", "rock_schist", "rock_red", "moraine", "wet_debris", "silt_dry")
#: share of a pixel that must be of the class
PURE = 0.9
#: values with which the file of points fills missing pixels (B02, B11, B12), found in 680 rows
FILLED = {"B2": 0.1346, "B11": 0.2086, "B12": 0.2222}
#: greatest number of simulated pixels of a class per date
PER_DATE = 200
SHOWN = ("B02", "B03", "B04", "B08", "B11")


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of one class."""

    #: (N, 12) in the order of `BANDS`
    reflectance: Floats
    #: (N,) name of the place and date, or of the seed and date
    group: NDArray[np.str_]


@dataclass(frozen=True)
class Row:
    """Figures of one class."""

    name: str
    real: int
    simulated: int
    real_medians: dict[str, float]
    simulated_medians: dict[str, float]
    distance: float
    covered: float
    probe: float


def read_points(samples: Path) -> dict[str, Pixels]:
    """Real pixels of every class, without the rows of filled or missing values."""
    path = samples / POINTS
    if not path.is_file():
        raise SystemExit(f"{path} is missing: give the folder of the samples with --samples")
    table = pd.read_csv(path)
    filled = np.logical_and.reduce([table[band] == value for band, value in FILLED.items()])
    names = [f"B{band[1:].lstrip('0')}" for band in BANDS]
    table = table[~filled].dropna(subset=names)
    group = (table["site_name"] + " " + table["image_date"].astype(str)).to_numpy(str)
    values = table[names].to_numpy(np.float32)
    number = table["class"].to_numpy()
    return {name: Pixels(values[number == k], group[number == k]) for k, name in CLASSES.items()}


def simulate_points(seeds: range, size: int) -> dict[str, Pixels]:
    """Simulated pixels of every class: all dates of one season of each seed."""
    parts: dict[str, list[Pixels]] = {name: [] for name in CLASSES.values()}
    for seed in seeds:
        settings = Settings(seed=seed, size=size, seasons=(2022,))
        world = build_world(settings)
        plan = plan_passes(world)
        for date, sky in zip(plan.optical, plan.skies, strict=True):
            values = _reflectance(world, date, sky)
            pick = settings.stream("probe", date.number)
            for name, mask in _masks(world, date, sky).items():
                at = np.flatnonzero(mask)
                at = pick.permutation(at)[:PER_DATE]
                parts[name].append(Pixels(values[:, at].T, np.full(at.size, f"seed {seed} {date.number}")))
    return {
        name: Pixels(np.concatenate([p.reflectance for p in found]), np.concatenate([p.group for p in found]))
        for name, found in parts.items()
    }


def _reflectance(world: World, date: OpticalPass, sky: Sky) -> Floats:
    """The scene's bands (12, H x W) at 10 m."""
    n = world.settings.size
    out = np.empty((len(BANDS), n * n), np.float32)
    bands = render(world, date, sky).bands
    for k, band in enumerate(BANDS):
        factor = -(-n // bands[band].shape[0])
        full = np.repeat(np.repeat(bands[band], factor, 0), factor, 1)[:n, :n]
        out[k] = (full.ravel().astype(np.float32) - date.offset) / 10000
    return out


def _masks(world: World, date: OpticalPass, sky: Sky) -> dict[str, NDArray[np.bool_]]:
    """Pixels (H x W) of every class that are free of cloud and its shadow."""
    settings = world.settings
    n = settings.size
    inner = slice(PAD, PAD + n)
    lit = light(world.height, *date.sun).lit[inner, inner].ravel()
    weights, _ = shares(settings, world.terrain, world.height, world.lakes)
    total = np.sum(list(weights.values()), axis=0)
    # the same random numbers as in `render`, of which the snow comes first
    amount, pixels = seasonal_snow(world, date, settings.stream("optical", date.season, date.number))[:2]
    snow = np.zeros(n * n, np.float32)
    snow[pixels] = amount
    old = (weights["snow_old"] / total).ravel()
    water = np.zeros(n * n, np.float32)
    lakes = world.water[date.season]
    in_lake = np.array([lake.kind == "lake" and lake.states[0] == "water" for lake in world.lakes])
    np.add.at(water, lakes.pixels, lakes.share)
    proglacial = np.zeros(n * n, np.float32)
    np.add.at(proglacial, lakes.pixels, lakes.share * in_lake[lakes.lake])
    clear = (sky.opacity < 0.02).ravel() & (sky.shadow < 0.02).ravel()

    def cover(*names: str) -> Floats:
        part = np.sum([weights[name] for name in names if name in weights], axis=0)
        return np.asarray((part / total).ravel() * (1 - snow), np.float32)

    dry, sunny = clear & (water == 0), lit > 0.95
    white = snow + (1 - snow) * old
    return {
        "snow": dry & sunny & (white > PURE),
        "shadowed snow": dry & (lit < 0.05) & (white > PURE),
        "ice": dry & sunny & (cover("ice_clean", "ice_dirty") > PURE),
        "rock, debris": dry & sunny & (cover(*ROCKS) > PURE),
        "proglacial water": clear & (proglacial > 0.99),
    }


def compare(name: str, real: Pixels, simulated: Pixels) -> Row:
    """Figures of one class."""
    one, other = real.reflectance, simulated.reflectance
    low, high = np.quantile(other, [0.01, 0.99], axis=0)
    medians = [
        {band: round(float(np.median(values[:, BANDS.index(band)])), 4) for band in SHOWN}
        for values in (one, other)
    ]
    return Row(
        name,
        len(one),
        len(other),
        *medians,
        distance=round(
            float(np.mean([wasserstein_distance(a, b) for a, b in zip(one.T, other.T, strict=True)])), 4
        ),
        covered=round(float(((one >= low) & (one <= high)).mean()), 3),
        probe=round(probe(real, simulated), 3),
    )


def probe(real: Pixels, simulated: Pixels) -> float:
    """Balanced accuracy of the linear probe on groups that it was not fitted to."""
    x = np.log(np.concatenate([real.reflectance, simulated.reflectance]).clip(0) + 0.005)
    y = np.repeat([0, 1], [len(real.reflectance), len(simulated.reflectance)])
    groups = np.concatenate([real.group, simulated.group])
    folds = StratifiedGroupKFold(min(4, len(np.unique(real.group))), shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    return float(balanced_accuracy_score(y, cross_val_predict(model, x, y, groups=groups, cv=folds)))


def show(rows: list[Row]) -> Table:
    """Table of the figures."""
    bands = ", ".join(SHOWN)
    table = Table("class", "pixels", f"median of {bands}: real", "simulated", "distance", "covered", "probe")
    for row in rows:
        medians = [
            " ".join(f"{value:.3f}" for value in part.values())
            for part in (row.real_medians, row.simulated_medians)
        ]
        counts = f"{row.real} / {row.simulated}"
        table.add_row(
            row.name, counts, *medians, f"{row.distance:.3f}", f"{row.covered:.2f}", f"{row.probe:.2f}"
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=Path, default=SAMPLES)
    parser.add_argument("--seeds", type=int, default=24, help="number of simulated worlds")
    parser.add_argument("--size", type=int, default=512, help="edge of a world, px")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    real = read_points(given.samples)
    simulated = simulate_points(range(900, 900 + given.seeds), given.size)
    rows = [compare(name, real[name], simulated[name]) for name in real]
    Console(width=150).print(show(rows))
    if given.json:
        figures: list[dict[str, Any]] = [asdict(row) for row in rows]
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
