"""Accuracy of the demo against the simulator's truth: lakes, areas and events.

    python -m benchmarks.accuracy [--workspace workspace/demo] [--json out.json]

Counted are lakes of at least 1 ha in the glacier zone with a cloud-free view in the season. A true lake is
found when at least half of it is mapped; a mapped lake is right when at least half of it is water in the
truth. The error of an area is that of the mapped lake with the largest overlap. The scenes are simulated, so
the figures do not apply to real ground.
"""

from __future__ import annotations

import argparse
import json
import platform
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from monitor.cli.demo import REGION, YEARS, prepare
from monitor.workspace import Workspace, open_database
from storage import history

SMALLEST_M2 = 10_000
SEEN = 0.9
#: least mapped share of a found lake, and least share of water in a right one
HALF = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace/demo"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options.workspace)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


def measure(folder: Path) -> dict[str, Any]:
    """Scores of the workspace of `monitor demo`, which is made first if it does not exist."""
    if not (folder / "archive").exists():
        from monitor.cli.console import progress_of
        from monitor.operations.runs import run_seasons, seasons_of
        from monitor.workspace import open_system

        prepare(folder)
        with open_system(Workspace.open(folder)) as system:
            run_seasons(system, seasons_of([REGION], YEARS), "benchmark", progress_of)
    truth = geopandas.read_parquet(folder / "archive/truth/lakes.parquet")
    events = pd.read_parquet(folder / "archive/truth/events.parquet")
    workspace = Workspace.open(folder)
    with open_database(workspace) as database, database.connect() as conn:
        mapped = {
            int(year): history.observations_of(conn, REGION, int(year)) for year in sorted(set(truth.season))
        }
        lineage = history.lineage(conn, REGION)
    seasons = [score_season(truth[truth.season == year], mapped[year], year) for year in mapped]
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "simulated": True,
        "seasons": seasons,
        "all": total(seasons),
        "events": score_events(truth, events, mapped, lineage),
    }


def score_season(
    truth: geopandas.GeoDataFrame, observed: geopandas.GeoDataFrame, year: int
) -> dict[str, Any]:
    """Counts and errors of areas of one season."""
    water = truth[truth.state == "water"]
    wanted = water[
        (water.zone == "glacier")
        & (water.kind == "lake")
        & (water.area_m2 >= SMALLEST_M2)
        & (water.seen_share >= SEEN)
    ]
    found = observed[observed.outcome == "water"].to_crs(truth.crs)
    every_water = water.geometry.union_all()
    everything_found = found.geometry.union_all()
    covered = wanted.geometry.intersection(everything_found).area / wanted.geometry.area
    large = found[found.area_m2 >= SMALLEST_M2]
    right = large.geometry.intersection(every_water).area / large.geometry.area
    errors = []
    for lake in wanted[covered >= HALF].itertuples():
        common = found.geometry.intersection(lake.geometry).area
        best = found.loc[common.idxmax()]
        errors.append(abs(best.area_m2 - lake.area_m2) / lake.area_m2)
    return {
        "season": year,
        "truth": len(wanted),
        "found": int((covered >= HALF).sum()),
        "missed": wanted.lake[covered < HALF].tolist(),
        "mapped": len(large),
        "right": int((right >= HALF).sum()),
        "area_errors": [round(float(error), 4) for error in errors],
    }


def total(seasons: list[dict[str, Any]]) -> dict[str, Any]:
    """Recall, precision and median error of areas over all seasons."""
    errors = [error for season in seasons for error in season["area_errors"]]
    truth, found, mapped, right = (sum(s[k] for s in seasons) for k in ("truth", "found", "mapped", "right"))
    return {
        "recall": found / truth,
        "precision": right / mapped if mapped else 0.0,
        "median_area_error": float(np.median(errors)) if errors else None,
    }


def score_events(
    truth: geopandas.GeoDataFrame,
    events: pd.DataFrame,
    mapped: dict[int, geopandas.GeoDataFrame],
    lineage: pd.DataFrame,
) -> list[dict[str, Any]]:
    """Whether each event of the truth is in the lineage, with the identities of its lakes."""
    scored = []
    for event in events.itertuples():
        before = identities(truth, mapped, event.parents, event.from_season)
        after = identities(truth, mapped, event.children, event.to_season)
        rows = lineage[(lineage.season == event.to_season) & (lineage.kind == event.kind)]
        if event.kind == "drained":
            recorded = bool(before) and before <= set(rows.lake_id)
        elif event.kind == "new":
            recorded = bool(after) and after <= set(rows.lake_id)
        elif event.kind == "split":
            recorded = (
                len(after) >= 2 and bool(set(rows.lake_id) & after) and before <= set(rows.other_lake_id)
            )
        else:
            recorded = (
                len(after) == 1 and bool(set(rows.lake_id) & before) and after <= set(rows.other_lake_id)
            )
        scored.append(
            {
                "kind": event.kind,
                "season": int(event.to_season),
                "lakes": f"{event.parents} > {event.children}",
                "recorded": recorded,
            }
        )
    return scored


def identities(
    truth: geopandas.GeoDataFrame, mapped: dict[int, geopandas.GeoDataFrame], names: str | None, season: int
) -> set[Any]:
    """Identities of the mapped lakes that overlap these true lakes in a season."""
    wanted = [name for name in (names or "").split(",") if name]
    lakes = truth[(truth.season == season) & truth.lake.isin(wanted) & (truth.state == "water")]
    found = mapped[int(season)]
    found = found[found.outcome == "water"].to_crs(truth.crs)
    ids = set()
    for lake in lakes.itertuples():
        common = found.geometry.intersection(lake.geometry).area
        if len(common) and common.max() >= 0.3 * lake.geometry.area:
            ids.add(found.lake_id[common.idxmax()])
    return ids


def show(result: dict[str, Any]) -> None:
    console = Console()
    table = Table(
        title="Demo against the simulator's truth: lakes >= 1 ha in the glacier zone, observed in the season"
    )
    for heading in (
        "season",
        "truth",
        "found",
        "recall",
        "mapped",
        "right",
        "precision",
        "median area error",
    ):
        table.add_column(heading, justify="right")
    for season in result["seasons"]:
        table.add_row(
            str(season["season"]),
            str(season["truth"]),
            str(season["found"]),
            f"{season['found'] / max(season['truth'], 1):.3f}",
            str(season["mapped"]),
            str(season["right"]),
            f"{season['right'] / max(season['mapped'], 1):.3f}",
            f"{np.median(season['area_errors']):.1%}" if season["area_errors"] else "-",
        )
    everything = result["all"]
    error = everything["median_area_error"]
    table.add_row(
        "all",
        "",
        "",
        f"{everything['recall']:.3f}",
        "",
        "",
        f"{everything['precision']:.3f}",
        "-" if error is None else f"{error:.1%}",
    )
    console.print(table)
    for event in result["events"]:
        mark = "recorded" if event["recorded"] else "[red]not recorded[/]"
        console.print(f"{event['kind']:8} {event['season']}  {event['lakes']}: {mark}")
    console.print("Simulated scenes.")


if __name__ == "__main__":
    main()
