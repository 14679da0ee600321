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
_Relief = Annotated[
    list[Path],
    typer.Option(help="Raster of real elevations; repeat for more, which the seeds take in turn."),
]


@app.callback()
def _group() -> None:
    """Rebuild the small model from simulated scenes, or calibrate or score an existing model."""


@app.command()
def rebuild(
    *,
    out: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("models/terramind-tiny-simulated"),
    seeds: Annotated[str, typer.Option(help="Seeds to train on, e.g. 101-116,120.")] = "101-110",
    validation: Annotated[str, typer.Option(help="Seeds to calibrate on.")] = "201-224",
    test: Annotated[str, typer.Option(help="Seeds to score on.")] = "301-312",
    relief: _Relief = [],  # noqa: B006 - typer's default of a repeated option
    on_relief: Annotated[str, typer.Option(help="Seeds to calibrate on, on that relief.")] = "",
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
        train=parse_seeds(seeds),
        validation=parse_seeds(validation),
        test=parse_seeds(test),
        size=size,
        seasons=seasons,
        relief=tuple(relief),
        on_relief=parse_seeds(on_relief) if on_relief else (),
        processes=processes,
    )
    places = steps_of.Places(out, work, archives or work / "archives", samples)
    manifest = steps_of.rebuild(
        places, chosen, Recipe(steps=steps, batch=batch), Machine(device, bf16, compiled)
    )
    _out.print_json(json.dumps(manifest.scores))
    _out.print(f"{manifest.name} {manifest.version} is in {out}")


@app.command()
def intervals(
    *,
    model: Annotated[Path, typer.Argument(help="Folder of a model; its manifest and card are rewritten.")],
    seeds: Annotated[str, typer.Option(help="Seeds to fit on.")] = "201-224",
    relief: _Relief,
    on_relief: Annotated[str, typer.Option(help="Seeds to fit on, on that relief.")] = "501-524",
    test: Annotated[str, typer.Option(help="Seeds to score on.")] = "301-312",
    test_relief: Annotated[list[Path], typer.Option(help="As --relief, to score on.")],
    test_on_relief: Annotated[str, typer.Option(help="Seeds to score on, on that relief.")] = "601-612",
    size: Annotated[int, typer.Option(help="Edge of an archive's square, px of 10 m.")] = 1024,
    seasons: Annotated[str, typer.Option(help="Years of every archive.")] = "2021-2022",
    work: Annotated[Path, typer.Option(help="Folder of archives and stacks.")] = Path("workspace/training"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Fit the intervals of areas again, on simulated and real relief, and score them on other relief."""
    from segmenter.opening import open_segmenter
    from training import intervals as fitting
    from training.recipe import parse_seeds

    network = open_segmenter([model], device)
    made = [
        fitting.Worlds(tuple(parse_seeds(chosen)), tuple(rasters), size, seasons)
        for chosen, rasters in ((seeds, []), (on_relief, relief), (test, []), (test_on_relief, test_relief))
    ]
    written = fitting.refit(model, network, *made, work=work)
    _out.print_json(json.dumps(written.model_dump(mode="json", include={"area_factor"})))
    _out.print(f"{written.name} {written.version} in {model} has new intervals")


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
