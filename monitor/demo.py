"""`monitor demo`: a simulated range, three seasons through the whole path, and what came of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import typer

from monitor.commands import say_report, work_seasons
from monitor.console import err, out
from monitor.errors import MonitorError
from monitor.reports import show_changes, show_queue, show_status
from monitor.settings import SETTINGS_FILE, Workspace
from monitor.system import open_system

REGION, YEARS = "demo", [2021, 2022, 2023]
SETTINGS = """\
# Written by `monitor demo`. The archive is simulated: see archive/truth/README.md.
catalog: {profile: planetary-computer, location: archive}
model: terramind-tiny-simulated
regions:
  demo: {outline: archive/region.geojson, glaciers: archive/glaciers.parquet, glacier_zone_km: 3}
tile_size: 1024
"""


def run_demo(folder: Path) -> None:
    """Make the archive where it is missing, run the seasons, show lakes, changes and the review queue."""
    prepare(folder)
    workspace = Workspace.open(folder)
    with open_system(workspace) as system:
        reports = work_seasons(system, [REGION], YEARS, "demo")
    for report in reports:
        say_report(report)
    show_status(folder, None, json=False)
    for start, end in ((YEARS[0], YEARS[1]), (YEARS[1], YEARS[2])):
        show_changes(folder, REGION, start, end, everything=False, json=False)
    show_queue(folder, REGION, None, explained=False, json=False)
    if any(report.failed or report.blind for report in reports):
        raise typer.Exit(1)
    picture = folder / "lakes.png"
    if not picture.exists() or not all(report.nothing_new for report in reports):
        from monitor.picture import draw_region

        with err.status("drawing the picture"):
            draw_region(workspace, REGION, YEARS, picture)
    out.print(f"\nPicture: {picture} (simulated scenes)")
    out.print("Next: .venv/bin/monitor lakes list; .venv/bin/monitor review export review/")


def prepare(folder: Path) -> None:
    """The demo's settings and simulated archive; an archive that was interrupted is made anew."""
    folder = folder.resolve()  # the simulator is started elsewhere
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "archive"
    if not archive.exists():
        part = folder / "archive.part"
        # The simulator is no part of the product, so it is called like any other program.
        command = [sys.executable, "-m", "simulator", str(part), "--seasons", f"{YEARS[0]}-{YEARS[-1]}"]
        if subprocess.run(command, check=False, cwd=Path(__file__).parents[1]).returncode != 0:
            raise MonitorError(f"the simulator could not write {part}; its message stands above")
        part.rename(archive)
    settings = folder / SETTINGS_FILE
    if not settings.exists():
        settings.write_text(SETTINGS)
