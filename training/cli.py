"""`training`: rebuild the small model from simulated scenes, or score an existing model."""

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
    """Rebuild the small model from simulated scenes, or score an existing model."""


@app.command()
def rebuild(
    *,
    out: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("models/terramind-tiny-simulated"),
    seeds: Annotated[str, typer.Option(help="Seeds to train on, e.g. 101-116,120.")] = "101-110",
    validation: Annotated[str, typer.Option(help="Seeds to calibrate on.")] = "201-224",
    test: Annotated[str, typer.Option(help="Seeds to score on.")] = "301-312",
    size: Annotated[int, typer.Option(help="Edge of an archive's square, px of 10 m.")] = 1024,
    seasons: Annotated[str, typer.Option(help="Years of every archive.")] = "2021-2023",
    steps: Annotated[int, typer.Option(help="Training steps.")] = 1000,
    batch: Annotated[int, typer.Option(help="Chips per step.")] = 8,
    work: Annotated[Path, typer.Option(help="Folder of archives, stacks and checkpoint, used to resume.")]
    = Path("workspace/training"),
    archives: Annotated[Path | None, typer.Option(help="Folder of existing archives, named seed-N.")] = None,
    samples: Annotated[Path | None, typer.Option(help="Folder of real tiles to score on.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    bf16: Annotated[bool, typer.Option(help="Use bfloat16 (on hardware that supports it).")] = False,
    compiled: Annotated[bool, typer.Option(help="Compile the network (needs a C++ compiler).")] = False,
    processes: Annotated[int, typer.Option(help="Number of parallel simulators.")] = 2,
) -> None:  # fmt: skip
    """Simulate, read, train, calibrate, score and package. A stopped run resumes when started again."""
    from training import rebuild as steps_of
    from training.fit import Machine
    from training.recipe import Recipe, parse_seeds

    chosen = steps_of.Archives(
        parse_seeds(seeds), parse_seeds(validation), parse_seeds(test), size, seasons, processes
    )
    places = steps_of.Places(out, work, archives or work / "archives", samples)
    manifest = steps_of.rebuild(
        places, chosen, Recipe(steps=steps, batch=batch), Machine(device, bf16, compiled)
    )
    _out.print_json(json.dumps(manifest.scores))
    _out.print(f"{manifest.name} {manifest.version} is in {out}")


@app.command()
def evaluate(
    *,
    model: Annotated[Path, typer.Argument(help="Folder of a model.")],
    seeds: Annotated[str, typer.Option(help="Seeds of the archives to score on.")] = "301-312",
    size: Annotated[int, typer.Option(help="Edge of an archive's square, px of 10 m.")] = 1024,
    seasons: Annotated[str, typer.Option(help="Years of every archive.")] = "2021-2023",
    work: Annotated[Path, typer.Option(help="Folder of archives and stacks.")] = Path("workspace/training"),
    samples: Annotated[Path | None, typer.Option(help="Folder of real tiles to score on.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Score a model on simulated seasons and, with --samples, on real tiles. Prints JSON."""
    from segmenter.opening import open_segmenter
    from training import evaluate as scoring
    from training.archives import make_archives
    from training.recipe import parse_seeds
    from training.scenes import prepare_all

    made = make_archives(work / "archives", parse_seeds(seeds), size=size, seasons=seasons, processes=2)
    network = open_segmenter([model], device)
    measured = scoring.evaluate(network, prepare_all(made, work / "scenes", "scoring"))
    scores: dict[str, Any] = {"simulated": measured.score.as_dict()}
    scores["calibration"] = measured.calibration(network.manifest)
    if samples is not None:
        scores["real"] = scoring.evaluate_real(network, samples)
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
