"""Calibration of a model's probabilities, areas and uncertainty on unseen simulated seasons.

    python -m benchmarks.calibration [--model models/NAME ...] [--seeds 401-408] [--relief DEM ...]

Reliability: mean predicted probability and true share of water of pixels. Coverage: the share of lakes of at
least 1 ha, seen whole and mapped, whose 95 % interval contains the true area. Uncertainty: its rank
correlation with the error. Missing archives are made (10 s each) and kept. The scenes are simulated, so the
figures do not apply to real ground. With --relief the seeds lie on rasters of real elevations, in turn.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from segmenter.opening import open_segmenter
from training.archives import make_archives
from training.errors import TrainingError
from training.evaluate import evaluate
from training.recipe import parse_seeds
from training.scenes import prepare_all

MODEL = Path(__file__).parents[1] / "models/terramind-tiny"
#: seeds that were not used in training, validation or test of the bundled model
SEEDS = "401-408"
WORK = Path("workspace/calibration")
#: accepted range of the coverage
BOUNDS = (0.93, 0.97)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, nargs="+", default=[MODEL], help="one model, or the members of an ensemble"
    )
    parser.add_argument("--seeds", default=SEEDS)
    parser.add_argument("--relief", type=Path, nargs="+", default=[], help="rasters of real elevations")
    parser.add_argument("--workspace", type=Path, default=WORK, help="folder of archives and stacks")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options.model, options.seeds, options.workspace, options.relief)
    Console().print(drawn(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


def measure(
    models: Sequence[Path] = (MODEL,),
    seeds: str = SEEDS,
    work: Path = WORK,
    relief: Sequence[Path] = (),
) -> dict[str, Any]:
    """Measure a model or an ensemble: `training.evaluate.Measured.calibration`, with date, machine and seeds.

    Raises:
        TrainingError: the model was trained, calibrated or tested on one of these seeds.
    """
    model = open_segmenter(models)
    chosen = parse_seeds(seeds)
    refuse_seen(model.manifest.training, chosen)
    archives = make_archives(
        work / "archives", chosen, size=1024, seasons="2021-2023", processes=2, relief=relief
    )
    scenes = prepare_all(archives, work / "scenes", "calibration")
    measured = evaluate(model, scenes)
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "simulated": True,
        "model": f"{model.manifest.name} {model.manifest.version}",
        "seeds": list(chosen),
        "relief": [raster.name for raster in relief],
        "scenes": len(scenes),
        "scores": measured.score.as_dict(),
        **measured.calibration(model.manifest.sets[0]),
    }


def refuse_seen(training: dict[str, Any], seeds: Sequence[int]) -> None:
    """Raise `TrainingError` when one of the seeds is in the model's provenance."""
    seen = set(_seeds(training))
    if both := sorted(seen & set(seeds)):
        raise TrainingError(f"seeds: the model was made with {both}; choose others, such as {SEEDS}")


def _seeds(provenance: Any) -> Iterator[int]:
    """All seeds that a provenance names."""
    if isinstance(provenance, list):
        for part in provenance:
            yield from _seeds(part)
    elif isinstance(provenance, dict):
        for name, part in provenance.items():
            if name == "seeds" or name.endswith("_seeds"):
                yield from part
            else:
                yield from _seeds(part)


def table(models: Sequence[Path] = (MODEL,), seeds: str = SEEDS, work: Path = WORK) -> Group:
    """Measure a model and return the tables for `rich`."""
    return drawn(measure(models, seeds, work))


def drawn(result: dict[str, Any]) -> Group:
    """Tables of the result of `measure`."""
    return Group(_reliability(result), _areas(result), _uncertainty(result), "Simulated scenes.")


def _reliability(result: dict[str, Any]) -> Table:
    known = result["reliability"]
    shown = _table(
        f"Reliability of {result['model']}, {result['scenes']} unseen simulated seasons",
        ("probability", "mean", "share of water", "pixels"),
    )
    for row in known["bins"]:
        name = f"{row['from']:.1f}-{row['to']:.1f}"
        shown.add_row(
            name, _figure(row["mean_probability"]), _figure(row["share_of_water"]), f"{row['pixels']:,}"
        )
    shown.caption = (
        f"expected calibration error {_figure(known['expected_error'], 5)}, "
        f"between 0.1 and 0.9 {_figure(known['expected_error_between'])}"
    )
    return shown


def _areas(result: dict[str, Any]) -> Table:
    area = result["area"]
    shown = _table(
        f"Share of lakes whose 95 % interval contains the true area: {area['found']} of "
        f"{area['lakes']} lakes were mapped, {area['joined']} as one with a neighbour",
        ("true area", "lakes", "model's factor", "factor 1", "shoreline alone", "as mapped", "+-"),
    )
    columns = ("held", "held_at_factor_1", "held_by_shoreline_alone", "held_as_drawn")
    for rows in zip(*(area[name] for name in columns), strict=True):
        first = rows[0]
        most = first["to_ha"]
        name = f">= {first['from_ha']:g} ha" if most is None else f"{first['from_ha']:g}-{most:g} ha"
        width = "-" if first["half_width"] is None else f"{first['half_width']:.1%}"
        shown.add_row(name, str(first["lakes"]), *map(_share, rows), width)
    share = area["held"][-1]["share"]
    kept = share is not None and BOUNDS[0] <= share <= BOUNDS[1]
    shown.caption = (
        f"bound: {BOUNDS[0]:.0%} to {BOUNDS[1]:.0%} of all lakes: {'met' if kept else '[red]not met[/]'}"
    )
    return shown


def _uncertainty(result: dict[str, Any]) -> Table:
    shown = _table(
        "Uncertainty: rank correlation with the error, and share of wrong pixels",
        ("pixels", "", "uncertainty", "p (1 - p)", "wrong, most uncertain tenth", "wrong, the rest"),
    )
    for name, values in result["uncertainty"].items():
        figures = [values.get(key) for key in ("rank_correlation", "rank_correlation_of_p")]
        wrong = [values.get(key) for key in ("wrong_in_most_doubtful_tenth", "wrong_in_the_rest")]
        shown.add_row(
            name, f"{values['pixels']:,}", *(_figure(value, 3) for value in figures), *map(_figure, wrong)
        )
    shown.caption = "unsure: probability between 0.05 and 0.95"
    return shown


def _table(title: str, headings: Sequence[str]) -> Table:
    shown = Table(title=title)
    for heading in headings:
        shown.add_column(heading, justify="right")
    return shown


def _share(row: dict[str, Any]) -> str:
    return "-" if row["share"] is None else f"{row['share']:.3f} ± {row['standard_error']:.3f}"


def _figure(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
