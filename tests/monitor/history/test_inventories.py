"""Real inventories in the lake history: ICIMOD's lakes of 2000, 2010 and 2020, imported twice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import geopandas
import pytest
import shapely
from sqlalchemy import text

from monitor.errors import RefusedError
from monitor.history.changes import changes_between
from monitor.history.inventories.mapping import INVENTORIES, Mapping, read_mapping
from monitor.settings import Region, RegionSettings
from storage import history
from storage.database import Database
from tests.support.places import SAMPLES
from tests.support.workspaces import import_inventory, monitor

HKH = SAMPLES / "hkh_lakes_2000_2010_2020.parquet"
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
    assert not (lineage.kind == "drained").any(), "a lake absent from an inventory is not dry"
    assert not (changes.verdict == "drained").any()


@needs_samples
@pytest.mark.parametrize(
    ("code", "areas"),
    [("GL086446E27945N", (0.66, 1.32, 1.80)), ("GL085840E28318N", (3.18, 4.95, 5.41))],
)
def test_a_known_lake_keeps_its_identity(
    database: Database, tmp_path: Path, code: str, areas: tuple[float, ...]
) -> None:
    """Areas in km2 as given by the inventory, under one identity in all three epochs."""
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
        common = shapely.area(shapely.intersection(found.geometry.to_numpy(), spot))
        lake = found.iloc[common.argmax()]
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


def test_another_crs_gives_the_same_positions(database: Database, tmp_path: Path) -> None:
    square = geopandas.GeoDataFrame(geometry=[shapely.box(81, 30, 81.01, 30.01)], crs=4326)
    for year, crs in ((2015, 4326), (2016, 32644)):
        file = tmp_path / f"{year}.gpkg"
        square.to_crs(crs).to_file(file)
        import_inventory(database, file, region=himalaya(), season=year)
    with database.connect() as conn:
        a, b = (history.observations_of(conn, "hkh", year).iloc[0] for year in (2015, 2016))
    assert a.lake_id == b.lake_id
    assert b.area_m2 == pytest.approx(a.area_m2, rel=1e-4)


@pytest.mark.parametrize("suffix", [".shp", ".gpkg", ".geojson", ".parquet", ".fgb"])
def test_every_format_and_crs_is_the_same_inventory(database: Database, tmp_path: Path, suffix: str) -> None:
    """The mapping keeps the attributes of a file: label, elevation, days; the others as JSON attributes."""
    crs = 4326 if suffix == ".geojson" else 32644
    frame = geopandas.GeoDataFrame(
        {
            "code": ["a", None],
            "alt": [4900.5, None],
            "day": ["2016-09-01", "2016-09-05"],
            "kind": ["M(e)", None],
        },
        geometry=[shapely.box(81, 30, 81.01, 30.01), shapely.box(81.02, 30, 81.03, 30.01)],
        crs=4326,
    ).to_crs(crs)
    file = tmp_path / f"lakes{suffix}"
    frame.to_parquet(file) if suffix == ".parquet" else frame.to_file(file)
    (tmp_path / "mine.yaml").write_text(
        "source: mine\nlabel: code\nelevation_m: alt\nfirst_day: day\nlast_day: day\n"
        "pixel_m: 10\nattributes: {type: kind}\n"
    )
    mapping = read_mapping(str(tmp_path / "mine.yaml"))
    import_inventory(database, file, region=himalaya(), season=2016, mapping=mapping)
    with database.connect() as conn:
        rows = conn.execute(
            text(
                "SELECT label, elevation_m, first_day::text, attributes, seen_share, perimeter_m, sigma_m2 "
                "FROM lake_area_history ORDER BY first_day"
            )
        ).all()
        source, pixel = conn.execute(text("SELECT source, pixel_m FROM inventory")).one()
    assert (source, pixel) == ("mine", 10)
    assert [tuple(row)[:4] for row in rows] == [
        ("a", 4900.5, "2016-09-01", {"type": "M(e)"}),
        (None, None, "2016-09-05", {}),
    ]
    assert rows[0].sigma_m2 == pytest.approx(0.6872 * rows[0].perimeter_m / 10 * 50)
    assert rows[0].perimeter_m == pytest.approx(2 * (965 + 1108), rel=0.01)


def test_each_repair_is_reported(database: Database, tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(80, 30), (80.01, 30.01), (80.01, 30), (80, 30.01)])
    file = tmp_path / "lakes.parquet"
    frame = geopandas.GeoDataFrame(
        {"code": ["ok", "tie"]}, geometry=[shapely.box(81, 30, 81.01, 30.01), bow_tie], crs=4326
    )
    frame.to_parquet(file)
    result = import_inventory(database, file, region=himalaya(), season=2015, mapping=Mapping(label="code"))
    (repair,) = result.repairs
    assert (repair.row, repair.label) == (1, "tie") and repair.what.startswith("Self-intersection[80.005")
    assert result.as_json()["repaired"] == 1


def test_lakes_outside_an_inventorys_coverage_are_not_missing(database: Database, tmp_path: Path) -> None:
    """Five lakes. The next inventory, complete west of 81 E, has two of three there and none of two east."""
    boxes = [shapely.box(80 + x, 30, 80.01 + x, 30.01) for x in (0, 0.1, 0.2, 1.5, 1.6)]
    for season, drawn in ((2015, boxes), (2016, boxes[:2])):
        file = tmp_path / f"{season}.gpkg"
        geopandas.GeoDataFrame(geometry=drawn, crs=4326).to_file(file)
        mapping = Mapping(source="s", complete=True, bounds=(70, 20, 81, 40) if season == 2016 else None)
        result = import_inventory(database, file, region=himalaya(), season=season, mapping=mapping)
        assert result.suspect is None
    with database.connect() as conn:
        seen = history.observations_of(conn, "hkh", 2016)
        assert sorted(seen.outcome) == ["dry", "water", "water"]
        assert history.lineage(conn, "hkh").kind.tolist() == ["drained"]


def test_bounds_beside_the_region_are_refused(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "lakes.gpkg"
    geopandas.GeoDataFrame(geometry=[shapely.box(81, 30, 81.01, 30.01)], crs=4326).to_file(file)
    with pytest.raises(RefusedError, match=r"bounds \[1.0, 2.0, 3.0, 4.0\] do not overlap the region hkh"):
        import_inventory(database, file, region=himalaya(), season=2000, mapping=Mapping(bounds=(1, 2, 3, 4)))


def test_new_only_where_an_earlier_inventory_mapped(database: Database, tmp_path: Path) -> None:
    east, west = shapely.box(81.5, 30, 81.51, 30.01), shapely.box(80, 30, 80.01, 30.01)
    also = shapely.box(80.1, 30, 80.11, 30.01)
    for season, drawn, bounds in ((2015, [west], (70, 20, 81, 40)), (2016, [west, also, east], None)):
        file = tmp_path / f"{season}.gpkg"
        geopandas.GeoDataFrame(geometry=drawn, crs=4326).to_file(file)
        mapping = Mapping(source="s", complete=True, bounds=bounds)
        import_inventory(database, file, region=himalaya(), season=season, mapping=mapping)
    with database.connect() as conn:
        events = history.lineage(conn, "hkh")
        new = history.observations_of(conn, "hkh", 2016).set_index("lake_id").geometry[events.lake_id[0]]
    assert events.kind.tolist() == ["new"] and new.intersects(also)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("pixle_m: 30", "pixle_m: no such key; valid keys are source, citation"),
        ("pixel_m: -1", "pixel_m: Input should be greater than 0"),
        ("bounds: [88, 26, 67, 39]", "are not west, south, east, north"),
        ("[1, 2]", "must be a YAML mapping of keys to values"),
        ("a: [", "is not YAML"),
    ],
)
def test_an_invalid_mapping_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "m.yaml").write_text(content)
    with pytest.raises(RefusedError, match=re.escape(message)):
        read_mapping(str(tmp_path / "m.yaml"))


def test_shipped_mappings_can_be_read_and_unknown_ones_are_refused() -> None:
    names = [path.stem for path in INVENTORIES.glob("*.yaml")]
    assert {"hkh-icimod", "iceland-yearly"} <= set(names)
    assert all(read_mapping(name).source for name in names)
    with pytest.raises(RefusedError, match=r"--mapping nobody: neither one of .*hkh-icimod.* nor a file"):
        read_mapping("nobody")


@needs_samples
def test_the_command_imports_every_year_of_a_file(workspace: Path) -> None:
    """The command reports an import without changes as well; --json prints the report for scripts."""
    (workspace / "monitor.yaml").write_text(
        "catalog: {profile: planetary-computer}\nmodel: terramind-tiny\n"
        "regions: {hkh: {bounds: [67, 26, 104, 39]}}\n"
    )
    command = ["inventory", "import", HKH, "--mapping", "hkh-icimod", "-w", workspace]
    first = monitor(*command)
    assert first.returncode == 0, first.stderr
    assert "2010: 1539 lakes" in first.stdout and "2 exact duplicates left out" in first.stdout
    assert "2020 is suspect" in first.stderr, "the sample ends at 88 E"
    again = monitor(*command, "--json")
    assert [row["changed"] for row in json.loads(again.stdout)] == [False] * 3
    listed = json.loads(monitor("inventory", "list", "-w", workspace, "--json").stdout)
    assert [(row["season"], row["lakes"], row["duplicates"]) for row in listed] == [
        (2000, 1486, 0), (2010, 1539, 2), (2020, 1117, 0),
    ]  # fmt: skip
    assert "2020 (suspect)" in monitor("inventory", "list", "-w", workspace).stdout
    covered = monitor(*command, "--year", "2020", "--bounds", "67,26,88,39", "--json")
    (row,) = json.loads(covered.stdout)
    assert row["changed"] and row["suspect"] is None and row["minted"] == 0


def test_an_unknown_column_is_refused(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "lakes.gpkg"
    geopandas.GeoDataFrame({"jahr": [2000]}, geometry=[shapely.box(81, 30, 81.01, 30.01)], crs=4326).to_file(
        file
    )
    with pytest.raises(RefusedError, match=r"no column 'year' \(year\); it has jahr"):
        import_inventory(database, file, region=himalaya(), season=2000, mapping=Mapping(year="year"))
