"""Runs over HTTP on a network with faults give the result of a run without faults, bit by bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sqlalchemy import text

from monitor.archive.catalog import open_catalog
from monitor.archive.freeze import freeze
from monitor.settings import SeasonWindow
from monitor.stack.acquire import acquire
from monitor.workspace import Workspace, open_database
from tests.support.listings import PC, region, season, tile_of
from tests.support.places import MODEL
from tests.support.servers.faults import Fault, Rule
from tests.support.servers.online import OnlineArchive
from tests.support.workspaces import layers, make_workspace, monitor, tables

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")

#: share of requests that fail
RATE = 0.05
SEED = 11


@pytest.fixture
def online(archive_online: OnlineArchive) -> OnlineArchive:
    return archive_online


def make_remote(folder: Path, archive: Path, online: OnlineArchive, **settings) -> Path:
    return make_workspace(
        folder,
        archive,
        catalog={"profile": "planetary-computer", "location": online.catalog_url, "hosts": online.file_hosts},
        **settings,
    )


def same_layers(one: Path, other: Path, *years: int) -> None:
    for year in years:
        expected = layers(one, year)
        for name, values in layers(other, year).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{name} {year}")


def same_history(one: Path, other: Path) -> None:
    first, second = tables(one), tables(other)
    for name, rows in first.items():
        assert rows == second[name], name


@pytest.fixture
def quick(module_workspace: Path, small_archive: Path, online: OnlineArchive) -> Path:
    """One tile of a season over a network without faults; run once for all tests."""
    folder = module_workspace / "quick"
    if not folder.exists():
        make_remote(folder, small_archive, online)
        answer = monitor("run", "--season", "2021", "-w", folder, env=online.environment)
        assert answer.returncode == 0, answer.stderr
        traffic = online.traffic()
        assert traffic.token_requests == 1, "one token per worker"
        assert not traffic.unknown_hosts, "all requests went to the catalogue's hosts"
    return folder


def test_over_http_as_from_a_folder(
    small_archive: Path, online: OnlineArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same stack, bit by bit."""
    for name, value in online.environment.items():
        monkeypatch.setenv(name, value)
    tile, area = tile_of(small_archive, 256), region(small_archive)
    catalog = open_catalog(PC, online.catalog_url)
    far = acquire(freeze(catalog, PC, area, SeasonWindow(), 2021).chosen, PC, tile, 48)
    near = acquire(season(small_archive, 2021), PC, tile, 48)
    xr.testing.assert_identical(far, near)


@pytest.mark.prove
def test_faults_change_nothing(
    workspace: Path, small_archive: Path, online: OnlineArchive, quick: Path
) -> None:
    """Every kind of fault except the slow ones, at a higher rate than in the long test."""
    fast = [fault for fault in Fault if fault not in (Fault.SLOW, Fault.STALLED)]
    online.begin(Rule(rate=0.25, kinds=fast), seed=SEED)
    folder = make_remote(workspace / "faulty", small_archive, online)
    answer = monitor("run", "--season", "2021", "-w", folder, "--json", env=online.environment)
    assert answer.returncode == 0, answer.stderr
    assert set(online.traffic().faults) == set(fast), online.traffic().faults
    assert [report["tiles"] for report in json.loads(answer.stdout)] == [{"done": 1}]
    same_layers(quick, folder, 2021)
    same_history(quick, folder)


def test_an_unavailable_catalogue_is_reported(
    workspace: Path, small_archive: Path, online: OnlineArchive
) -> None:
    online.begin(Rule("catalog.test", kinds=(Fault.MISSING,)))
    folder = make_remote(workspace / "down", small_archive, online)
    answer = monitor("run", "--season", "2021", "-w", folder, env=online.environment)
    assert answer.returncode == 1 and "http://catalog.test/" in answer.stderr


@pytest.fixture
def clean(module_workspace: Path, small_archive: Path, online: OnlineArchive) -> Path:
    """Two seasons of four tiles over a network without faults; run once for all tests."""
    folder = module_workspace / "clean"
    if not folder.exists():
        make_remote(folder, small_archive, online, tile_size=256)
        answer = monitor("backfill", "--years", "2021-2022", "-w", folder, env=online.environment)
        assert answer.returncode == 0, answer.stderr
    return folder


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(5))
def test_fault_storms(
    workspace: Path, small_archive: Path, online: OnlineArchive, clean: Path, seed: int
) -> None:
    """Expired signatures, 404, 429, 503, resets, truncated, slow and stalled responses: all tiles finish."""
    online.begin(Rule(rate=RATE), seed=seed)
    folder = make_remote(workspace / "storm", small_archive, online, tile_size=256)
    answer = monitor("backfill", "--years", "2021-2022", "-w", folder, "--json", env=online.environment)
    assert answer.returncode == 0, answer.stderr
    injected, requests = online.traffic().faults, online.traffic().requests
    print(f"seed {seed}: {dict(injected)} in {requests.total()} requests")
    assert injected.total() >= 10 and len(injected) >= 7, injected
    assert [report["tiles"] for report in json.loads(answer.stdout)] == [{"done": 4}] * 2
    same_layers(clean, folder, 2021, 2022)
    same_history(clean, folder)


@pytest.mark.prove
def test_a_permanently_missing_file(
    workspace: Path, small_archive: Path, online: OnlineArchive, clean: Path
) -> None:
    """A missing asset: its season fails with the address, the other is complete. A rerun completes both."""
    (best,) = _first_choices(clean, 2022)
    online.begin(Rule(f"{best}.*B03", kinds=(Fault.MISSING,)))
    folder = make_remote(workspace / "broken", small_archive, online, tile_size=256)
    answer = monitor("backfill", "--years", "2021-2022", "-w", folder, "--json", env=online.environment)
    assert answer.returncode == 1
    whole, broken = json.loads(answer.stdout)
    assert whole["tiles"] == {"done": 4} and broken["tiles"] == {"failed": 4}
    for reason in broken["reasons"]:
        assert best in reason and "asset B03 at http" in reason and "404" in reason and "sig=" not in reason
    same_layers(clean, folder, 2021)
    online.begin()
    again = monitor("run", "--season", "2022", "-w", folder, env=online.environment)
    assert again.returncode == 0, again.stderr
    same_layers(clean, folder, 2021, 2022)
    same_history(clean, folder)


def _first_choices(folder: Path, season: int) -> set[str]:
    """The best optical scenes of the cells in the ledger."""
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        rows = conn.execute(text("SELECT choices FROM task WHERE season = :season"), {"season": season})
        return {cell["optical"][0] for row in rows for cell in row.choices.values() if cell["optical"]}


@pytest.mark.prove
def test_unreadable_scene_classes(workspace: Path, small_archive: Path, online: OnlineArchive) -> None:
    """The best date is unknown, so the tile fails with the file's address and does not use another date."""
    online.begin(Rule("SCL", kinds=(Fault.UNAVAILABLE,)))
    folder = make_remote(workspace / "blind", small_archive, online)
    answer = monitor("run", "--season", "2021", "-w", folder, "--json", env=online.environment)
    assert answer.returncode == 1
    (report,) = json.loads(answer.stdout)
    assert report["tiles"] == {"failed": 1} and all("asset SCL at" in reason for reason in report["reasons"])
