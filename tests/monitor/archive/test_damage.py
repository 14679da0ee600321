"""Damaged items, headers and files: every outcome is a right value or a refusal by name.

A season of a small archive with one damage is searched, chosen and read. The result equals that of the whole
archive, or that of the archive without the damaged item, which is then named. Pixels of a damaged file are
missing, or as in the whole archive.
"""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import maximum_filter, minimum_filter

from monitor.archive.catalog import FolderCatalog
from monitor.archive.freeze import freeze
from monitor.errors import MonitorError
from monitor.grid import Tile
from monitor.settings import SeasonWindow
from monitor.stack.acquire import acquire
from tests.support.damage import Damage, damaged, without
from tests.support.listings import PC, region, tile_of

YEAR = 2022
#: pixels around a missing one within which interpolation and filters give other values: two of 60 m
REACH = 12
#: decibels by which the speckle filter may leave the range of its neighbours beside missing pixels
DECIBELS = 1.0


@dataclass(frozen=True)
class Outcome:
    """The stack of a tile, and what was said about items that were not used."""

    stack: xr.Dataset | None
    said: str


def outcome(folder: Path, tile: Tile) -> Outcome:
    profile = PC.at(folder)
    try:
        frozen = freeze(FolderCatalog(folder), profile, region(folder), SeasonWindow(), YEAR).chosen
        said = "; ".join(f"{item}: {why}" for item, why in frozen.refused)
        here = frozen.over(tile)
        if faults := [str(choice.fault) for choice in here.choices if choice.fault]:
            return Outcome(None, "; ".join([said, *faults]))
        stack = acquire(here, profile, tile, 0)
        if refused := stack.attrs.get("refused", ()):  # of files whose numbers are impossible
            return Outcome(None, "; ".join([said, *map(str, refused)]))
    except MonitorError as error:
        return Outcome(None, str(error))
    return Outcome(stack, said)


@pytest.fixture(scope="module")
def tile(small_archive: Path) -> Tile:
    return tile_of(small_archive, 256)


@pytest.fixture(scope="module")
def whole(small_archive: Path, tile: Tile) -> xr.Dataset:
    found = outcome(small_archive, tile).stack
    assert found is not None
    return found


@pytest.fixture(scope="module")
def lacking(small_archive: Path, tile: Tile, tmp_path_factory: pytest.TempPathFactory):
    """The outcome without an item, by its id."""
    known: dict[str, Outcome] = {}

    def of(item: str) -> Outcome:
        if item not in known:
            folder = tmp_path_factory.mktemp("without") / "archive"
            without(small_archive, folder, item)
            known[item] = outcome(folder, tile)
        return known[item]

    return of


def explained(found: Outcome, damage: Damage, whole: xr.Dataset, other: Outcome) -> str | None:
    """Why an outcome is wrong; None where it is right."""
    named = damage.item in found.said or damage.item in found.said.replace("\\", "")
    if found.stack is None:
        return None if named else f"no result, and the item is not named: {found.said[:500]}"
    if damage.undecidable or found.stack.equals(whole):
        return None
    if other.stack is not None and found.stack.equals(other.stack):
        # all numbers of a file may mean "no data", which the reasons of the pixels say
        return None if named or damage.of_a_file else "the item is left out unsaid"
    for name, band in found.stack.data_vars.items():
        if band.dtype.kind == "f" and (wrong := strange(str(name), found.stack, whole, other.stack)):
            return wrong
    return None


def strange(name: str, found: xr.Dataset, whole: xr.Dataset, other: xr.Dataset | None) -> str | None:
    """Pixels of a band that are neither missing nor as in the whole archive or in that without the item."""
    values = found[name].to_numpy()
    margin = DECIBELS if name in ("VV", "VH") else 1e-3
    near = 2 * REACH + 1
    # a value beside a missing one, or beside one of another date, is the mean of fewer neighbours
    beside = maximum_filter(_lost(found, whole, other), near)
    right = np.isnan(values)
    for reference in (whole, other):
        if reference is None:
            continue
        known = reference[name].to_numpy()
        low = minimum_filter(np.where(np.isnan(known), np.inf, known), near)
        high = maximum_filter(np.where(np.isnan(known), -np.inf, known), near)
        right |= (values == known) | (beside & (values >= low - margin) & (values <= high + margin))
    if right.all():
        return None
    worst = values[~right]
    return f"{name}: {(~right).sum()} pixels of {worst.min():g} to {worst.max():g} are not of the archive"


def _lost(found: xr.Dataset, whole: xr.Dataset, other: xr.Dataset | None) -> np.ndarray:
    """Pixels that are missing in a band, or of the archive without the item (H, W)."""
    lost = np.zeros(whole["dem"].shape, bool)
    for name, band in found.data_vars.items():
        if band.dtype.kind != "f":
            continue
        values, known = band.to_numpy(), whole[name].to_numpy()
        lost |= np.isnan(values) | np.isnan(known)
        if other is not None:
            lost |= (values != known) & (values == other[name].to_numpy())
    return lost


def check(seed: int, archive: Path, folder: Path, tile: Tile, whole: xr.Dataset, lacking) -> str | None:
    """What is wrong with the outcome of a seed."""
    target = folder / str(seed)
    damage = damaged(archive, target, seed, YEAR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = outcome(target, tile)
        wrong = explained(found, damage, whole, lacking(damage.item))
    except Exception as error:  # the test's own finding: a traceback
        wrong = f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(target, ignore_errors=True)
    return f"{damage.what}: {wrong}" if wrong else None


def test_damage(small_archive: Path, tmp_path: Path, tile: Tile, whole: xr.Dataset, lacking) -> None:
    # 64: numbers that are lost in one polarisation over calm water
    wrong = [check(seed, small_archive, tmp_path, tile, whole, lacking) for seed in (64, *range(11))]
    assert not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.prove
def test_much_damage(small_archive: Path, tmp_path: Path, tile: Tile, whole: xr.Dataset, lacking) -> None:
    wrong = [check(seed, small_archive, tmp_path, tile, whole, lacking) for seed in range(1000, 1500)]
    assert not any(wrong), "\n".join(filter(None, wrong))
