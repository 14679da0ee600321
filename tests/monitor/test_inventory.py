"""Real inventories through the same history: ICIMOD's lakes of 2000, 2010 and 2020, imported twice."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pytest
import shapely

from monitor.errors import RefusedError
from monitor.inventory import import_inventory
from monitor.mapping import Mapping, read_mapping
from monitor.reports import changes_between
from monitor.settings import Region, RegionSettings
from storage import history
from storage.database import Database

HKH = Path(__file__).parents[3] / "shared/samples/hkh_lakes_2000_2010_2020.parquet"
ICIMOD = read_mapping("hkh-icimod")
YEARS = (2000, 2010, 2020)
needs_samples = pytest.mark.skipif(not HKH.exists(), reason="the sample inventory is not beside the checkout")


def himalaya() -> Region:
    box = shapely.box(67, 26, 104, 39)
    return Region("hkh", RegionSettings(bounds=(67, 26, 104, 39)), box, box)


@needs_samples
def test_three_epochs_twice(database: Database) -> None:
    region = himalaya()
    imported = [import_inventory(database, HKH, region=region, season=year, mapping=ICIMOD) for year in YEARS]
    assert [result.lakes + result.duplicates for result in imported] == [1486, 1541, 1117]
    assert all(result.changed for result in imported)
    assert imported[0].minted == imported[0].lakes
    with database.connect() as conn:
        first = [history.observations_of(conn, "hkh", year) for year in YEARS]
        lineage = history.lineage(conn, "hkh")
        changes = changes_between(conn, "hkh", 2000, 2010)
    assert len(first[0]) == 1486
    for year in reversed(YEARS):
        again = import_inventory(database, HKH, region=region, season=year, mapping=ICIMOD)
        assert not again.changed
    with database.connect() as conn:
        for year, before in zip(YEARS, first, strict=True):
            after = history.observations_of(conn, "hkh", year)
            assert after.drop(columns="geometry").equals(before.drop(columns="geometry"))
        assert history.lineage(conn, "hkh").equals(lineage)
    assert {"split", "merged"} <= set(lineage.kind)
    assert not (lineage.kind == "drained").any(), "an inventory that leaves a lake out did not see it dry"
    assert not (changes.verdict == "drained").any()


@needs_samples
@pytest.mark.parametrize(
    ("code", "areas"),
    [("GL086446E27945N", (0.66, 1.32, 1.80)), ("GL085840E28318N", (3.18, 4.95, 5.41))],
)
def test_a_known_lake_keeps_its_identity(
    database: Database, tmp_path: Path, code: str, areas: tuple[float, ...]
) -> None:
    """Areas in km2 as the inventory states them, found under one identity in all three epochs."""
    source = geopandas.read_parquet(HKH)
    place = source[(code == source.GLIMS_ID) & (source.year == 2020)].geometry.iloc[0].buffer(0.05)
    near = source[source.intersects(place)]
    region = himalaya()
    ids = []
    for year in YEARS:
        part = tmp_path / f"{year}.parquet"
        near[near.year == year].to_parquet(part)
        import_inventory(database, part, region=region, season=year, mapping=Mapping(source="near"))
        with database.connect() as conn:
            found = history.observations_of(conn, "hkh", year)
        spot = source[(code == source.GLIMS_ID) & (source.year == 2020)].geometry.iloc[0]
        lake = found.loc[found.geometry.intersection(spot).area.idxmax()]
        assert lake.area_m2 / 1e6 == pytest.approx(areas[YEARS.index(year)], abs=0.01)
        ids.append(lake.lake_id)
    assert len(set(ids)) == 1


def test_bow_ties_are_repaired_and_duplicates_left_out(database: Database, tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(80, 30), (80.01, 30.01), (80.01, 30), (80, 30.01)])
    square = shapely.box(81, 30, 81.01, 30.01)
    file = tmp_path / "lakes.gpkg"
    geopandas.GeoDataFrame(geometry=[bow_tie, square, square], crs=4326).to_file(file)
    result = import_inventory(database, file, region=himalaya(), season=2015)
    assert (result.lakes, result.repaired, result.duplicates, result.changed) == (2, 1, 1, True)


def test_another_crs_lands_in_the_same_place(database: Database, tmp_path: Path) -> None:
    square = geopandas.GeoDataFrame(geometry=[shapely.box(81, 30, 81.01, 30.01)], crs=4326)
    for year, crs in ((2015, 4326), (2016, 32644)):
        file = tmp_path / f"{year}.gpkg"
        square.to_crs(crs).to_file(file)
        import_inventory(database, file, region=himalaya(), season=year)
    with database.connect() as conn:
        a, b = (history.observations_of(conn, "hkh", year).iloc[0] for year in (2015, 2016))
    assert a.lake_id == b.lake_id
    assert b.area_m2 == pytest.approx(a.area_m2, rel=1e-4)


def test_an_unknown_column_is_refused(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "lakes.gpkg"
    geopandas.GeoDataFrame({"jahr": [2000]}, geometry=[shapely.box(81, 30, 81.01, 30.01)], crs=4326).to_file(
        file
    )
    with pytest.raises(RefusedError, match=r"no column 'year' \(year\); it has jahr"):
        import_inventory(database, file, region=himalaya(), season=2000, mapping=Mapping(year="year"))
