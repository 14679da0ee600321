"""`training`: rebuild the small model from simulated scenes, or calibrate or score an existing model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
_out = Console(markup=False)


@app.callback()
def _group() -> None:
    """Rebuild the small model from simulated scenes, or calibrate or score an existing model."""


@app.command()
def rebuild(
    *,
    config: Annotated[Path, typer.Option(help="Configuration of the model.")]
    = Path("config/training/delivered.yaml"),
    samples: Annotated[Path, typer.Option(help="Folder of real scenes and relief (docs/real-scenes.md).")],
    out: Annotated[Path | None, typer.Option(help="Folder of the model; models/NAME by default.")] = None,
    work: Annotated[Path, typer.Option(help="Folder of archives, chips and checkpoint, used to resume.")]
    = Path("workspace/training"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    bf16: Annotated[bool, typer.Option(help="Use bfloat16 (on hardware that supports it).")] = False,
    compiled: Annotated[bool, typer.Option(help="Compile the network (needs a C++ compiler).")] = False,
    processes: Annotated[int, typer.Option(help="Processes that simulate archives and read them.")] = 2,
    readers: Annotated[int | None, typer.Option(
        help="Processes that draw chips; by default none on a processor, one for each core beside a GPU."
    )] = None,
) -> None:  # fmt: skip
    """Simulate, read, train, calibrate, score and package. A stopped run resumes when started again."""
    from training import rebuild as steps_of
    from training.config import read_config
    from training.fit import Machine

    chosen = read_config(config)
    places = steps_of.Places(out or Path("models") / chosen.name, work, samples)
    manifest = steps_of.rebuild(chosen, places, Machine(device, bf16, compiled, readers), processes)
    _out.print_json(json.dumps({entry.name: entry.scores for entry in manifest.sets}))
    _out.print(f"{manifest.name} {manifest.version} is in {places.out}")


@app.command()
def chips(
    *,
    samples: Annotated[Path, typer.Option(help="Folder of real scenes (docs/real-scenes.md).")],
    out: Annotated[Path, typer.Option(help="Folder of the chip files; must not exist.")],
) -> None:
    """Write the chips of the real samples, with labels and split, to Parquet files."""
    from training.real.making import make_real_chips

    made = make_real_chips(samples, out)
    _out.print(f"{len(made)} chips are in {out}")


@app.command()
def evaluate(
    *,
    model: Annotated[Path, typer.Argument(help="Folder of a model.")],
    seeds: Annotated[str, typer.Option(help="Seeds of the archives to score on.")] = "301-312",
    sensors: Annotated[str, typer.Option(help="Sensors to predict from, such as S1+DEM.")] = "S2L2A+S1+DEM",
    size: Annotated[int, typer.Option(help="Edge of an archive's square, px of 10 m.")] = 1024,
    seasons: Annotated[str, typer.Option(help="Years of every archive.")] = "2021-2022",
    work: Annotated[Path, typer.Option(help="Folder of archives and stacks.")] = Path("workspace/training"),
    chip_files: Annotated[Path | None, typer.Option("--chips", help="Real chips to score on.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Score a model on simulated seasons and, with --chips, on real test chips. Prints JSON."""
    from segmenter.opening import open_segmenter
    from training import evaluate as scoring
    from training.archives import make_archives
    from training.chip_files import ChipFiles
    from training.real_scores import real_scores
    from training.recipe import parse_seeds, parse_sensors
    from training.scenes import prepare_all

    chosen = parse_sensors(sensors)
    made = make_archives(work / "archives", parse_seeds(seeds), size=size, seasons=seasons, processes=2)
    network = open_segmenter([model], device)
    measured = scoring.evaluate(network, prepare_all(made, work / "scenes", "scoring"), "scoring", chosen)
    scores: dict[str, Any] = {"simulated": measured.score.as_dict()}
    scores["calibration"] = measured.calibration(network.manifest.set_named(chosen))
    if chip_files is not None:
        scores["real"] = real_scores(network, ChipFiles(chip_files))
    _out.print_json(json.dumps(scores))


def main() -> None:
    """Entry point: errors of the user are printed as one message, with exit code 1."""
    from monitor.errors import MonitorError
    from segmenter.errors import SegmenterError
    from training.errors import TrainingError

    try:
        app()
    except (TrainingError, MonitorError, SegmenterError) as error:
        Console(stderr=True).print(
            f"[red]{type(error).__name__}[/red]: {escape(str(error))}", highlight=False
        )
        sys.exit(1)
