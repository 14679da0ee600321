"""Files of inventories in the lake history: rows accounted for; places, sources, values, years checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import text

from monitor.errors import RefusedError
from monitor.history.inventories.mapping import Mapping
from monitor.history.inventories.outlines import prepare, read_inventory, years_of
from monitor.settings import Region, RegionSettings
from storage import history
from storage.database import Database
from tests.support.workspaces import import_inventory, monitor

BOUNDS = (67.0, 26.0, 104.0, 39.0)
HIMALAYA = Region("hkh", RegionSettings(bounds=BOUNDS), shapely.box(*BOUNDS), shapely.box(*BOUNDS))
SQUARES = [shapely.box(80 + 0.1 * at, 30, 80.01 + 0.1 * at, 30.01) for at in range(4)]


def squares_file(path: Path, outlines: Sequence[BaseGeometry | None] = SQUARES, **columns: Any) -> Path:
    frame = geopandas.GeoDataFrame(columns, geometry=list(outlines), crs=4326)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return path


def test_a_polygon_in_a_collection_is_a_lake_and_a_lost_row_is_no_complete_inventory(
    database: Database, tmp_path: Path
) -> None:
    """Three lakes of 2015; the inventory of 2016 has one in a collection, and one row without a polygon."""
    region, complete = HIMALAYA, Mapping(source="s", complete=True)
    import_inventory(database, squares_file(tmp_path / "a.gpkg", SQUARES[:3]), region=region, season=2015)
    spike = shapely.LineString([(80.2, 30), (80.3, 30)])
    drawn = [SQUARES[0], SQUARES[1], shapely.GeometryCollection([SQUARES[2], spike])]
    file = squares_file(tmp_path / "b.geojson", drawn)
    result = import_inventory(database, file, region=region, season=2016, mapping=complete)
    assert (result.lakes, result.minted, result.rows, result.left_out) == (3, 0, 3, {})
    with database.connect() as conn:
        assert set(history.observations_of(conn, "hkh", 2016).outcome) == {"water"}
    file = squares_file(tmp_path / "c.geojson", [*drawn[:2], None])
    with pytest.raises(RefusedError, match=r"1 of 3 rows cannot be used.*not complete: row 2: .*--partial"):
        import_inventory(database, file, region=region, season=2017, mapping=complete)
    partial = import_inventory(database, file, region=region, season=2017, mapping=Mapping(source="s"))
    assert (partial.lakes, partial.rows, [loss.row for loss in partial.lost]) == (2, 3, [2])


def test_a_file_of_the_same_name_supersedes_only_if_its_source_is_given(
    database: Database, tmp_path: Path
) -> None:
    region: Region = HIMALAYA
    files = []
    for author, outlines in (("a", SQUARES[:2]), ("b", SQUARES[2:])):
        (tmp_path / author).mkdir()
        files.append(squares_file(tmp_path / author / "lakes.gpkg", outlines))
    import_inventory(database, files[0], region=region, season=2018)
    with pytest.raises(RefusedError, match=r"inventory 'lakes\.gpkg' of 2018 already.*--source"):
        import_inventory(database, files[1], region=region, season=2018)
    import_inventory(database, files[1], region=region, season=2018, mapping=Mapping(source="of b"))
    with database.connect() as conn:
        assert len(history.observations_of(conn, "hkh", 2018)) == 4
    # the same outlines with another mapping are the same inventory
    again = import_inventory(database, files[0], region=region, season=2018, mapping=Mapping(pixel_m=10))
    assert again.changed and again.minted == 0
    named = Mapping(source="lakes.gpkg")
    replaced = import_inventory(database, files[1], region=region, season=2018, mapping=named)
    assert replaced.changed
    with database.connect() as conn:
        assert len(history.observations_of(conn, "hkh", 2018)) == 2


def test_lakes_outside_the_region_are_left_out_with_their_number(database: Database, tmp_path: Path) -> None:
    region = HIMALAYA
    far = shapely.box(10, 45, 10.01, 45.01)
    result = import_inventory(
        database, squares_file(tmp_path / "a.gpkg", [SQUARES[0], far]), region=region, season=2018
    )
    assert (result.lakes, result.left_out) == (1, {"outside the region": 1})
    (note,) = result.notes
    assert note.startswith("1 rows lie outside the region hkh (67, 26, 104, 39), in 10, 45, 10.01, 45.01")
    swapped = [shapely.transform(one, lambda xy: xy[:, ::-1]) for one in SQUARES]
    with pytest.raises(RefusedError, match=r"4 rows lie outside.*; 4 of them lie in it with x and y swapped"):
        import_inventory(database, squares_file(tmp_path / "b.geojson", swapped), region=region, season=2018)
    with pytest.raises(RefusedError, match="18 is no season; a season is a year from 1900 to 2200"):
        import_inventory(database, tmp_path / "a.gpkg", region=region, season=18)


def test_a_lake_at_180_degrees_is_measured_in_the_database(database: Database, tmp_path: Path) -> None:
    box = shapely.box(179, 60, 180, 61)
    region = Region("east", RegionSettings(bounds=(179, 60, 180, 61)), box, box)
    ring = shapely.Polygon([(179.99, 60.5), (-179.99, 60.5), (-179.99, 60.51), (179.99, 60.51)])
    file = squares_file(tmp_path / "a.parquet", [ring])
    import_inventory(database, file, region=region, season=2018)
    with database.connect() as conn:
        lake = conn.execute(text("SELECT area_m2, perimeter_m, code FROM lake_area_history")).one()
    assert lake.area_m2 == pytest.approx(1097 * 1114, rel=0.01)
    assert lake.perimeter_m == pytest.approx(2 * (1097 + 1114), rel=0.01)
    assert lake.code in ("GL180000E60505N", "GL180000W60505N")


def test_columns_of_any_name_and_type_reach_the_history(database: Database, tmp_path: Path) -> None:
    """Our own names, whole numbers beside nulls, lists, dates: the history has them as the file does."""
    frame = geopandas.GeoDataFrame(
        {"row": [1, None], "why": [["a", "b"], None], "repaired": [{"x": 1.5}, None]},
        geometry=SQUARES[:2],
        crs=4326,
    )
    frame.to_parquet(tmp_path / "a.parquet")
    attributes = {"row": "why", 'a"; --': "repaired"}
    mapping = Mapping(label="row", attributes=attributes)
    result = import_inventory(database, tmp_path / "a.parquet", region=HIMALAYA, season=2018, mapping=mapping)
    assert result.values_lost == ()
    with database.connect() as conn:
        query = text("SELECT label, attributes FROM lake_area_history ORDER BY label")
        rows = [tuple(row) for row in conn.execute(query)]
    assert rows == [("1", {"row": ["a", "b"], 'a"; --': {"x": 1.5}}), (None, {})]


def test_values_and_days_that_are_not_what_the_mapping_says(database: Database, tmp_path: Path) -> None:
    file = squares_file(
        tmp_path / "a.gpkg",
        img=["2017-08-15", "03/09/2017", "1970-01-01", "2016-08-20"],
        alt=["4900.5", "-9999", "n/a", ""],
    )
    mapping = Mapping(source="s", first_day="img", elevation_m="alt")
    result = import_inventory(database, file, region=HIMALAYA, season=2017, mapping=mapping)
    assert [(loss.row, loss.column) for loss in result.values_lost] == [
        (1, "img"), (2, "img"), (1, "alt"), (2, "alt"),
    ]  # fmt: skip
    assert result.notes == ("the days of 1 lakes are not of 2017: 2016-08-20 to 2016-08-20",)
    with database.connect() as conn:
        rows = conn.execute(
            text("SELECT first_day::text, elevation_m FROM lake_area_history ORDER BY 1")
        ).all()
    assert [tuple(row) for row in rows] == [
        ("2016-08-20", None), ("2017-08-15", 4900.5), (None, None), (None, None),
    ]  # fmt: skip
    other = squares_file(tmp_path / "b.gpkg", img=["03/09/2017", "11/09/2017", "25/08/2017", "30/08/2017"])
    mapping = Mapping(source="t", first_day="img")
    with pytest.raises(RefusedError, match=r"none of the 4 values of column 'img' can be read.*day_format"):
        import_inventory(database, other, region=HIMALAYA, season=2018, mapping=mapping)
    mapping = Mapping(source="t", first_day="img", day_format="%d/%m/%Y")
    import_inventory(database, other, region=HIMALAYA, season=2017, mapping=mapping)
    with database.connect() as conn:
        query = text("SELECT first_day::text FROM lake_observation WHERE first_day <> :day ORDER BY 1")
        found = conn.execute(query, {"day": "2017-08-15"}).scalars().all()
    assert found[1:] == ["2017-08-25", "2017-08-30", "2017-09-03", "2017-09-11"]


def test_years_of_a_column(database: Database, tmp_path: Path) -> None:
    mapping = Mapping(year="year")
    dates = squares_file(
        tmp_path / "a.parquet", year=[date(2000, 1, 1), None, date(2010, 1, 1), date(2010, 6, 1)]
    )
    polygons = read_inventory(dates, mapping)
    assert years_of(polygons, mapping) == [2000, 2010]
    lakes = prepare(polygons, 2010, mapping, HIMALAYA)
    assert len(lakes.lakes) == 2 and lakes.left_out == {"of another year": 1, "it has no year": 1}
    for number, values in enumerate((["2000", "2000", "2008-2010", "2010"], [2000, 2000, 0, 2010])):
        bad = read_inventory(squares_file(tmp_path / f"b{number}.gpkg", year=values), mapping)
        with pytest.raises(
            RefusedError, match=rf"1 of 4 values of 'year' are not a year: row 2: year '?{values[2]}"
        ):
            prepare(bad, 2000, mapping, HIMALAYA)


def test_the_command_says_what_is_left_out(workspace: Path, tmp_path: Path) -> None:
    (workspace / "monitor.yaml").write_text(
        "catalog: {profile: planetary-computer}\nmodel: terramind-tiny\n"
        "regions: {hkh: {bounds: [67, 26, 104, 39]}}\n"
    )
    file = squares_file(
        tmp_path / "[red]a.geojson", [SQUARES[0], SQUARES[0], None, shapely.box(10, 45, 11, 46)]
    )
    command = ["inventory", "import", file, "--year", "2018", "-w", workspace]
    first = monitor(*command)
    assert first.returncode == 0, first.stderr
    assert (
        "[red]a.geojson, 2018: 1 lakes, 1 of them new to the history; 0 geometries repaired, 1 exact"
        in first.stdout
    )
    assert "of 4 rows, 2 are left out: " in first.stdout and "outside the region (1)" in first.stdout
    assert "left out: row 2: it has no geometry" in first.stderr
    (row,) = json.loads(monitor(*command, "--json").stdout)
    assert row["rows"] == row["lakes"] + sum(row["left_out"].values()) == 4 and row["lost"][0]["row"] == 2
    refused = monitor(*command, "--complete")
    assert refused.returncode == 2 and "is not complete: row 2" in refused.stderr
    squares = geopandas.GeoDataFrame(geometry=SQUARES, crs=4326)
    for layer in ("one", "two"):
        squares.to_file(tmp_path / "two.gpkg", layer=layer)
    command = ["inventory", "import", tmp_path / "two.gpkg", "--year", "2018", "-w", workspace]
    assert "has 2 layers of polygons, one, two: choose one with --layer" in monitor(*command).stderr
    assert "4 lakes" in monitor(*command, "--layer", "two").stdout
    assert "no encoding 'GKB'" in monitor(*command, "--encoding", "GKB").stderr
