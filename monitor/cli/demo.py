"""`monitor demo`: a simulated range, three seasons through the whole path, and the results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import typer

from monitor.cli.console import err, out, progress_of
from monitor.cli.options import DEMO, WorkspaceOption
from monitor.errors import MonitorError

REGION, YEARS = "demo", [2021, 2022, 2023]
SETTINGS = """\
# Written by `monitor demo`. The archive is simulated: see archive/truth/README.md.
catalog: {profile: planetary-computer, location: archive}
model: terramind-tiny
regions:
  demo: {outline: archive/region.geojson, glaciers: archive/glaciers.parquet, glacier_zone_km: 3}
tile_size: 1024
"""


def demo(workspace: WorkspaceOption = DEMO) -> None:
    """Simulate a small mountain range, run three seasons, show lakes, changes and the review queue."""
    run_demo(workspace)


def run_demo(folder: Path) -> None:
    """Simulate the archive if it is missing, run the seasons, show lakes, changes and the review queue."""
    from monitor.cli.lakes import show_changes
    from monitor.cli.review import show_queue
    from monitor.cli.seasons import print_outcome
    from monitor.cli.status import show_status
    from monitor.operations.runs import run_seasons, seasons_of
    from monitor.workspace import Workspace, open_system

    prepare(folder)
    workspace = Workspace.open(folder)
    with open_system(workspace) as system:
        outcome = run_seasons(system, seasons_of([REGION], YEARS), "demo", progress_of)
    print_outcome(outcome)
    show_status(folder)
    for start, end in ((YEARS[0], YEARS[1]), (YEARS[1], YEARS[2])):
        show_changes(folder, REGION, start, end, everything=False, json=False)
    show_queue(folder, REGION, None, explained=False, json=False)
    if any(report.failed or report.unobserved for report in outcome.reports):
        raise typer.Exit(1)
    picture = folder / "lakes.png"
    if not picture.exists() or not all(report.nothing_new for report in outcome.reports):
        from monitor.report.region_map import draw_region

        with err.status("drawing the picture"):
            draw_region(workspace, REGION, YEARS, picture)
    out.print(f"\nPicture: {picture} (simulated scenes)")
    out.print("Next: .venv/bin/monitor lakes list; .venv/bin/monitor review export review/")


def prepare(folder: Path) -> None:
    """Write the demo's settings and simulated archive; an incomplete archive is written again."""
    from monitor.settings import SETTINGS_FILE

    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "archive"
    if not archive.exists():
        part = folder / "archive.part"
        # monitor does not import the simulator, so it is started as a program
        command = [sys.executable, "-m", "simulator", str(part), "--seasons", f"{YEARS[0]}-{YEARS[-1]}"]
        if subprocess.run(command, check=False).returncode != 0:
            raise MonitorError(f"the simulator could not write {part}; its message is above")
        part.rename(archive)
    settings = folder / SETTINGS_FILE
    if not settings.exists():
        settings.write_text(SETTINGS)
