"""Command line: python -m simulator OUT [--seed 7] [--size 2048] [--seasons 2021-2023] …"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from simulator.errors import SimulatorError
from simulator.settings import DEFAULT_EPSG, Settings
from simulator.simulate import simulate
from simulator.terrain import settings_for_dem


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="Simulate a small mountain range with known lakes: STAC catalogue, COGs and truth.",
    )
    parser.add_argument("out", type=Path, help="output folder")
    parser.add_argument("--seed", type=int, default=7, help="seed of all random numbers (default 7)")
    parser.add_argument("--size", type=int, default=2048, help="edge in 10 m pixels (default 2048)")
    parser.add_argument("--seasons", default="2021-2023", help="years, such as 2021-2023 or 2022")
    parser.add_argument("--epsg", type=int, default=None, help=f"UTM zone (default {DEFAULT_EPSG})")
    parser.add_argument(
        "--origin", default=None, metavar="E,N", help="upper-left corner in metres, multiples of 10"
    )
    parser.add_argument(
        "--dem", type=Path, default=None, help="raster of real elevations, in place of simulated relief"
    )
    parser.add_argument(
        "--grd", action="store_true", help="add a ground range (GRD) product of every radar pass"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser.parse_args(arguments)


def settings_of(given: argparse.Namespace) -> Settings:
    """Settings from the command line. Raises SimulatorError naming an invalid argument."""
    try:
        years = [int(year) for year in given.seasons.split("-")]
    except ValueError:
        years = []
    if len(years) not in (1, 2) or years[-1] < years[0]:
        raise SimulatorError(
            f"--seasons {given.seasons}: give a year or an ascending range such as 2021-2023"
        )
    seasons = tuple(range(years[0], years[-1] + 1))
    origin = None
    if given.origin is not None:
        try:
            east, north = map(float, given.origin.split(","))
        except ValueError:
            raise SimulatorError(f"--origin {given.origin}: give easting,northing in metres") from None
        origin = (east, north)
    if given.dem is not None:
        epsg, corner = settings_for_dem(given.dem, given.size, given.epsg)
        return Settings(given.seed, given.size, seasons, epsg, origin or corner, given.dem)
    base = Settings(given.seed, given.size, seasons, given.epsg or DEFAULT_EPSG)
    return base if origin is None else Settings(given.seed, given.size, seasons, base.epsg, origin)


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator; return 0, or 2 for invalid arguments."""
    given = parse(arguments)
    err = Console(stderr=True)
    try:
        settings = settings_of(given)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
        )
        with Progress(*columns, TimeElapsedColumn(), console=err, disable=given.json) as progress:
            bars: dict[str, int] = {}

            def report(step: str, done: int, total: int) -> None:
                if step not in bars:
                    bars[step] = progress.add_task(step, total=total)
                progress.update(bars[step], completed=done, total=total)  # type: ignore[arg-type]

            summary = simulate(settings, given.out, report, ground_range=given.grd)
    except SimulatorError as error:
        err.print(f"[red]refused:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 2
    if given.json:
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    else:
        err.print(
            f"{summary['items']} scenes, {summary['lakes']} lakes, {summary['events']} events "
            f"in {summary['seconds']} s: {summary['catalog']}", highlight=False,
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
