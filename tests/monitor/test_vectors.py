"""The reader of vector files: layers, zip files, CRS, places, encodings, names, geometries of every kind."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from monitor.errors import RefusedError
from monitor.grid import continuous, grown, in_utm, split_at_180
from monitor.vectors.files import Columns, Layer
from monitor.vectors.polygons import (
    COLLECTION,
    DEGREES,
    NO_AREA,
    NO_GEOMETRY,
    NO_PLACE,
    polygons_of,
    read_polygons,
)
from monitor.vectors.replacing import refuse_open
from tests.support.places import SAMPLES

LAKES = [shapely.box(77 + 0.02 * at, 43, 77.01 + 0.02 * at, 43.01) for at in range(4)]


def frame(geometries: list[Any], crs: Any = 4326, **columns: Any) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=geometries, crs=crs)


def of(*geometries: BaseGeometry | None, crs: Any = 4326) -> Any:
    array = np.empty(len(geometries), object)
    array[:] = geometries
    return polygons_of(Path("lakes"), "inventory", Layer(array, crs, Columns((), None)))


def two_layers(folder: Path) -> Path:
    path = folder / "two.gpkg"
    frame(LAKES[:2]).to_file(path, layer="lakes_1990")
    frame(LAKES).to_file(path, layer="lakes_2018")
    return path


def kml(path: Path, folders: dict[str, list[BaseGeometry]]) -> Path:
    def mark(outline: BaseGeometry) -> str:
        ring = " ".join(f"{x},{y},4900" for x, y in outline.exterior.coords)
        return (
            "<Placemark><Polygon><outerBoundaryIs><LinearRing><coordinates>"
            f"{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>"
        )

    body = "".join(f"<Folder><name>{k}</name>{''.join(map(mark, v))}</Folder>" for k, v in folders.items())
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{body}</Document></kml>')
    return path


def zipped(folder: Path, **files: geopandas.GeoDataFrame) -> Path:
    source = folder / "in"
    for name, content in files.items():
        path = source / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        content.to_file(path)
    return Path(shutil.make_archive(str(folder / "packed"), "zip", source))


def test_several_layers_are_refused_with_their_names(tmp_path: Path) -> None:
    for path, names in (
        (two_layers(tmp_path), "lakes_1990, lakes_2018"),
        (kml(tmp_path / "a.kml", {"moraine": LAKES[:2], "ice": LAKES[2:]}), "moraine, ice"),
        (
            zipped(tmp_path, GL_1990_dot_shp=frame(LAKES[:2]), GL_2018_dot_gpkg=frame(LAKES)),
            "GL_1990, GL_2018",
        ),
    ):
        with pytest.raises(RefusedError, match=f"{path.name} has 2 layers of polygons, {names}: .*ogr2ogr"):
            read_polygons(path, "inventory")
        with pytest.raises(RefusedError, match="choose one with --layer"):
            read_polygons(path, "inventory", layer_option="--layer")
        last = names.split(", ")[1]
        assert len(read_polygons(path, "inventory", layer=last).geometry) in (2, 4)
        with pytest.raises(RefusedError, match=f"has no layer 'none'; it has {names}"):
            read_polygons(path, "inventory", layer="none")


def test_layers_that_hold_no_polygons_are_not_choices(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    frame([shapely.Point(77, 43)]).to_file(path, layer="places")
    frame(LAKES).to_file(path, layer="lakes")
    assert len(read_polygons(path, "inventory")) == 4
    mixed = kml(tmp_path / "b.kml", {"lakes": LAKES})
    text = mixed.read_text().replace(
        "</Document>", "<Folder><name>p</name><Placemark><Point><coordinates>77,43</coordinates></Point>"
        "</Placemark></Folder></Document>",
    )  # fmt: skip
    mixed.write_text(text)
    assert len(read_polygons(mixed, "inventory")) == 4


def test_zip_files_with_folders_and_other_formats_are_read(tmp_path: Path) -> None:
    assert len(read_polygons(zipped(tmp_path / "a", sub__deep__x_dot_shp=frame(LAKES)), "inventory")) == 4
    assert len(read_polygons(zipped(tmp_path / "b", x_dot_geojson=frame(LAKES)), "inventory")) == 4
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "readme.txt").write_text("lakes")
    empty = Path(shutil.make_archive(str(tmp_path / "c"), "zip", tmp_path / "c"))
    with pytest.raises(RefusedError, match=r"no file that ends in \.shp.*it holds readme\.txt"):
        read_polygons(empty, "inventory")


@pytest.mark.parametrize("name", ["a.geoparquet", "A.PARQUET", "b.GPKG", "c.GeoJSON"])
def test_endings_are_read_in_any_spelling(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if "parquet" in name.lower():
        frame(LAKES).to_parquet(path)
    else:
        lower = tmp_path / name.lower()
        frame(LAKES).to_file(lower)
        lower.rename(path)
    assert len(read_polygons(path, "inventory")) == 4


def test_a_crs_without_a_place_is_refused(tmp_path: Path) -> None:
    for number in (-1, 0):
        path = tmp_path / f"a{number + 1}.gpkg"
        frame(LAKES).to_file(path)
        with sqlite3.connect(path) as database:
            for table in ("gpkg_contents", "gpkg_geometry_columns"):
                database.execute(f"update {table} set srs_id=?", (number,))
        database.close()
        with pytest.raises(RefusedError, match=r"has the CRS 'Undefined .*no place on Earth.*ogr2ogr -a_srs"):
            read_polygons(path, "inventory")
    path = tmp_path / "local.shp"
    frame(LAKES).to_file(path)
    path.with_suffix(".prj").write_text(
        'LOCAL_CS["site",LOCAL_DATUM["unknown",32767],UNIT["Meter",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
    )
    with pytest.raises(RefusedError, match="has the CRS 'site'"):
        read_polygons(path, "inventory")


def test_a_crs_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame(LAKES).to_parquet(path)
    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    for crs, message in (({"type": "nonsense"}, "cannot be read as polygons"), (None, "has no CRS")):
        geo["columns"]["geometry"]["crs"] = crs
        pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo)}), path)
        with pytest.raises(RefusedError, match=message):
            read_polygons(path, "inventory")
    del geo["columns"]["geometry"]["crs"]  # degrees, as the specification says
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo)}), path)
    assert len(read_polygons(path, "inventory")) == 4


def test_degrees_under_metres_and_metres_under_degrees_have_no_place() -> None:
    metres = frame(LAKES).to_crs(32643).geometry
    with pytest.raises(RefusedError, match=rf"{DEGREES} \(4 rows\)"):
        of(*LAKES, crs=32643)
    with pytest.raises(RefusedError, match=rf"{NO_PLACE} \(4 rows\)"):
        of(*metres)
    mixed = of(*LAKES, metres[0])
    assert mixed.left_out == {4: NO_PLACE} and list(mixed.rows) == [0, 1, 2, 3]
    assert of(*metres, LAKES[0], crs=32643).left_out == {4: DEGREES}


def test_each_row_is_a_polygon_or_is_left_out_with_a_reason() -> None:
    spike = shapely.LineString([(77, 43), (77.1, 43)])
    deep = shapely.GeometryCollection([shapely.GeometryCollection([LAKES[1], LAKES[2]]), spike])
    found = of(
        LAKES[0], None, shapely.Point(77, 43), spike, shapely.Polygon(), deep,
        shapely.GeometryCollection([spike]), shapely.Polygon([(77, 43), (78, 43), (77.5, 43)]),
        shapely.force_3d(LAKES[3], 4900.0),
    )  # fmt: skip
    assert list(found.rows) == [0, 5, 8] and not found.geometry.has_z.any()
    assert found.geometry.iloc[1].equals(shapely.union(LAKES[1], LAKES[2]))
    assert found.repairs == {5: COLLECTION}
    assert found.left_out == {
        1: NO_GEOMETRY, 2: "it is a Point without a polygon", 3: "it is a LineString without a polygon",
        4: NO_AREA, 6: "it is a GeometryCollection without a polygon", 7: NO_AREA,
    }  # fmt: skip
    assert len(found) == 9


def test_curves_are_read_and_damaged_geometries_are_left_out(tmp_path: Path) -> None:
    points = [(77, 43), (77.005, 43.005), (77.01, 43), (77.005, 42.995), (77, 43)]
    arc = struct.pack("<BII", 1, 8, 5) + b"".join(struct.pack("<dd", *point) for point in points)
    good = shapely.to_wkb(LAKES[3], byte_order=1)
    curve = struct.pack("<BII", 1, 10, 1) + arc
    blobs = [curve, good[:60], b"junk", struct.pack("<BII", 1, 7, 2) + curve + good]
    path = tmp_path / "a.gpkg"
    frame(LAKES).to_file(path, layer="a")
    with sqlite3.connect(path) as database:
        triggers = database.execute("select name from sqlite_master where type='trigger'").fetchall()
        for (name,) in triggers:
            database.execute(f'drop trigger "{name}"')
        for at, blob in enumerate(blobs):
            head = b"GP\0\1" + struct.pack("<i", 4326)
            database.execute("update a set geom=? where fid=?", (head + blob, at + 1))
    database.close()
    found = read_polygons(path, "inventory")
    assert found.left_out == {1: NO_GEOMETRY, 2: NO_GEOMETRY, 3: NO_GEOMETRY}
    assert found.geometry.iloc[0].area == pytest.approx(np.pi * 0.005**2, rel=1e-3)


#: names of columns: those that this package uses or used, of SQL, of pandas, twice in another case
NAMES = (
    *("row", "why", "repaired", "rows", "left_out", "geometry", "geom", "crs", "values", "index", "level_0"),
    *("Name", "name", "NAME", "select", 'a"b', "a;drop table lake", "%s", "{x}", "", "ort ü", "冰湖", "fid_"),
)


@pytest.mark.parametrize("kind", ["geojson", "parquet"])
def test_columns_survive_any_name(tmp_path: Path, kind: str) -> None:
    rows = [{name: f"{at} {name}" for name in NAMES} for at in range(4)]
    path = tmp_path / f"a.{kind}"
    if kind == "geojson":
        features = [
            {"type": "Feature", "properties": row, "geometry": shapely.geometry.mapping(outline)}
            for row, outline in zip(rows, LAKES, strict=True)
        ]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    else:
        columns = {name: [row[name] for row in rows] for name in NAMES}
        own = geopandas.GeoDataFrame(columns | {"outline": LAKES}, geometry="outline", crs=4326)
        own.to_parquet(path)
    found = read_polygons(path, "inventory", attributes=True)
    for name in NAMES:
        assert found.values(name) == [f"{at} {name}" for at in range(4)], name


def test_a_geopackage_with_our_own_names_is_read(tmp_path: Path) -> None:
    columns = {name: [f"{at} {name}" for at in range(4)] for name in ("row", "why", "repaired", "geometry_")}
    path = tmp_path / "a.gpkg"
    frame(LAKES, **columns).to_file(path)
    with sqlite3.connect(path) as database:
        database.execute("alter table a rename column geometry_ to geometry")
    database.close()
    found = read_polygons(path, "inventory", attributes=True)
    for name in ("row", "why", "repaired", "geometry"):
        assert found.values(name)[2].startswith("2 "), name


def test_types_are_those_of_the_file(tmp_path: Path) -> None:
    """Whole numbers beside nulls stay whole; lists stay lists; the index of a data frame is a column."""
    path = tmp_path / "a.parquet"
    own = frame(LAKES, n=[1, 2, None, 4], scenes=[["a", "b"]] * 4, code=["a", "b", "c", "d"])
    own["n"] = own["n"].astype("Int64")
    own.set_index("code").to_parquet(path)
    found = read_polygons(path, "inventory", attributes=True)
    assert found.values("n") == [1, 2, None, 4] and found.values("scenes")[0] == ["a", "b"]
    assert found.values("code") == ["a", "b", "c", "d"]


def shapefile(folder: Path, encoding: str, names: list[str], code_page: int = 0) -> Path:
    path = folder / "a.shp"
    frame(LAKES[: len(names)], name=names).to_file(path, encoding=encoding)
    (folder / "a.cpg").unlink(missing_ok=True)
    table = bytearray((folder / "a.dbf").read_bytes())
    table[29] = code_page
    (folder / "a.dbf").write_bytes(table)
    return path


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("GBK", ["冰湖", "措嘎"]),
        ("ISO-8859-1", ["Þórsvatn", "ok"]),
        ("UTF-8", ["冰湖", "Þ"]),
        ("cp1251", ["Озеро"]),
    ],
)
def test_texts_of_a_shapefile_need_a_declared_encoding(
    tmp_path: Path, encoding: str, names: list[str]
) -> None:
    path = shapefile(tmp_path, encoding, names)
    found = read_polygons(path, "inventory", attributes=True)
    with pytest.raises(RefusedError, match=r"a\.shp has texts.* 'name', row 0.*does not declare.*--encoding"):
        found.values("name")
    assert read_polygons(path, "inventory", attributes=True, encoding=encoding).values("name") == names
    path.with_suffix(".cpg").write_text(encoding)
    assert read_polygons(path, "inventory", attributes=True).values("name") == names


def test_plain_texts_need_no_encoding_and_a_code_page_is_a_declaration(tmp_path: Path) -> None:
    path = shapefile(tmp_path, "ISO-8859-1", ["lake", "tso"])
    assert read_polygons(path, "inventory", attributes=True).values("name") == ["lake", "tso"]
    path = shapefile(tmp_path, "ISO-8859-1", ["Þórsvatn"], code_page=0x57)
    assert read_polygons(path, "inventory", attributes=True).values("name") == ["Þórsvatn"]


def test_column_names_and_texts_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.shp"
    frame(LAKES[:1], 名称=["冰湖"]).to_file(path, encoding="GBK")
    path.with_suffix(".cpg").unlink()
    table = bytearray(path.with_suffix(".dbf").read_bytes())
    table[29] = 0
    path.with_suffix(".dbf").write_bytes(table)
    assert read_polygons(path, "inventory", attributes=True, encoding="GBK").values("名称") == ["冰湖"]
    assert len(read_polygons(path, "region")) == 1, "the texts are not needed"
    with pytest.raises(RefusedError, match="another encoding than the declared one"):
        read_polygons(path, "inventory", attributes=True, encoding="utf-8").values("名称")


def test_a_cut_text_loses_only_its_last_half_character(tmp_path: Path) -> None:
    """Some programs cut texts at the width of their column, in the middle of a character."""
    path = shapefile(tmp_path, "UTF-8", ["冰湖冰湖", "ok"])
    table = path.with_suffix(".dbf")
    table.write_bytes(table.read_bytes().replace("冰湖冰湖".encode(), "冰湖冰湖".encode()[:11] + b" "))
    found = read_polygons(path, "inventory", attributes=True, encoding="UTF-8")
    assert found.values("name") == ["冰湖冰", "ok"]


def test_geojson_in_another_encoding_and_columns_of_several_types(tmp_path: Path) -> None:
    rows = [{"a": value, "b": "Þ"} for value in (1, "007", "x", ["p", 2], {"q": None}, None)]
    features = [
        {"type": "Feature", "properties": row, "geometry": shapely.geometry.mapping(LAKES[0])} for row in rows
    ]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False))
    found = read_polygons(path, "inventory", attributes=True)
    assert found.values("a") == ["1", "007", "x", ["p", 2], {"q": None}, None]
    assert found.values("b") == ["Þ"] * 6
    path.write_bytes(path.read_text().encode("latin-1"))
    with pytest.raises(RefusedError, match=r"in column 'b', row 0, is not utf-8"):
        read_polygons(path, "inventory", attributes=True).values("b")


def test_pipes_folders_and_empty_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gpkg")
    with pytest.raises(RefusedError, match=r"pipe\.gpkg is a device or a pipe"):
        read_polygons(tmp_path / "pipe.gpkg", "inventory")
    (tmp_path / "folder").mkdir()
    for name in ("folder", "a.gpkg", "a.parquet", "a.zip", "a.shp", "a.geojson"):
        if name != "folder":
            (tmp_path / name).touch()
        with pytest.raises(RefusedError, match=f"inventory: .*{name} cannot be read as polygons"):
            read_polygons(tmp_path / name, "inventory")


def test_a_datum_without_a_transformation_is_noted() -> None:
    assert of(*LAKES, crs=4326).notes == of(*frame(LAKES).to_crs(32643).geometry, crs=32643).notes == ()
    (note,) = of(*LAKES, crs=4610).notes
    assert note.startswith("the place of 'Xian 1980' in WGS 84 is known to some hundred metres only")


def test_an_encoding_for_a_format_that_has_one_is_refused(tmp_path: Path) -> None:
    frame(LAKES).to_file(tmp_path / "a.gpkg")
    with pytest.raises(RefusedError, match="texts are UTF-8; leave out the encoding GBK"):
        read_polygons(tmp_path / "a.gpkg", "inventory", attributes=True, encoding="GBK")


def test_a_file_without_the_right_to_read_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame(LAKES).to_parquet(path)
    tmp_path.chmod(0o755)
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(RefusedError, match=r"a\.parquet may not be read by this user"):
            read_polygons(path, "inventory")
    finally:
        os.seteuid(user)


def degrees(low: float, high: float) -> st.SearchStrategy[float]:
    """Coordinates in steps of a ten-millionth of a degree, a centimetre."""
    return st.integers(round(low * 1e7), round(high * 1e7)).map(lambda steps: steps / 1e7)


@settings(deadline=None)
@given(
    centre=degrees(-0.02, 0.02), width=degrees(0.001, 0.04), latitude=degrees(-75, 75), short=st.booleans()
)
def test_lakes_at_180_degrees_are_measured_as_elsewhere(
    centre: float, width: float, latitude: float, short: bool
) -> None:
    """The same lake at 0 and at 180 degrees, there with longitudes up to 180 or beyond it."""
    ring = shapely.box(centre - width / 2, latitude, centre + width / 2, latitude + 0.01)
    half = shapely.transform(ring, lambda xy: np.column_stack([xy[:, 0] + 180, xy[:, 1]]))
    if short:
        half = shapely.transform(
            half, lambda xy: np.column_stack([np.where(xy[:, 0] > 180, xy[:, 0] - 360, xy[:, 0]), xy[:, 1]])
        )
    found = of(half).geometry
    assert found.bounds.minx.iloc[0] >= -180 and found.bounds.maxx.iloc[0] <= 180
    zero = geopandas.GeoSeries([ring], crs=4326)
    for measure in (shapely.area, shapely.length):
        assert measure(in_utm(found))[0] == pytest.approx(measure(in_utm(zero))[0], rel=1e-3)
    assert split_at_180(continuous(found.iloc[0])).equals(found.iloc[0])


def test_an_area_at_180_degrees_grows_on_both_sides() -> None:
    both = shapely.union(shapely.box(179.9, 60, 180, 60.1), shapely.box(-180, 60, -179.9, 60.1))
    found = grown(both, 1000)
    assert found.bounds == pytest.approx((-180, 59.991, 180, 60.109), abs=1e-3)
    west, east = sorted(shapely.get_parts(found), key=lambda part: part.bounds[0])
    assert west.bounds[2] == pytest.approx(-179.882, abs=1e-3)
    assert east.bounds[0] == pytest.approx(179.882, abs=1e-3)


def test_outlines_that_reach_around_the_earth_are_left_as_they_are() -> None:
    world = shapely.box(-180, 60, 180, 90)
    assert of(world).geometry.iloc[0].equals(world)
    greenwich = shapely.Polygon([(359.99, 50), (0.01, 50), (0.01, 50.01), (359.99, 50.01)])
    assert of(greenwich).geometry.iloc[0].bounds == pytest.approx((-0.01, 50, 0.01, 50.01))
    assert of(shapely.box(190, 60, 191, 61)).geometry.iloc[0].bounds == (-170, 60, -169, 61)


def test_a_geopackage_that_is_open_elsewhere_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    frame(LAKES).to_file(path)
    refuse_open(path)
    other = sqlite3.connect(path)
    other.execute("pragma journal_mode=wal")
    other.execute("create table notes as select 1 as n")
    other.commit()
    with pytest.raises(RefusedError, match=r"a\.gpkg cannot be replaced.*a\.gpkg-wal.*open \(QGIS"):
        refuse_open(path)
    assert other.execute("select n from notes").fetchall() == [(1,)]
    other.close()
    refuse_open(path)


def test_content_that_a_killed_program_left_is_moved_into_the_file_first(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.gpkg", tmp_path / "copy.gpkg"
    frame(LAKES).to_file(path)
    other = sqlite3.connect(path)
    other.execute("pragma journal_mode=wal")
    other.execute("create table notes as select 1 as n")
    other.commit()
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", f"{copy}{ending}")
    other.close()
    refuse_open(copy)
    assert not copy.with_name("copy.gpkg-wal").exists()
    with sqlite3.connect(copy) as database:
        assert database.execute("select n from notes").fetchall() == [(1,)]
    database.close()
    copy.unlink()
    copy.with_name("copy.gpkg-wal").write_bytes(b"left")
    with pytest.raises(RefusedError, match=r"if there is none, remove copy\.gpkg-wal"):
        refuse_open(copy)


@pytest.mark.skipif(not SAMPLES.exists(), reason="the samples are not beside the checkout")
def test_real_outlines_are_read_whole() -> None:
    for name, rows in (
        ("hkh_lakes_2000_2010_2020.parquet", 4144),
        ("iceland_lakes_1985_2019.parquet", 162),
        ("rgi60_everest_glaciers.gpkg", None),
        ("stac/outlines/rgi7_G-14_south_asia_west_laketerminating.gpkg", None),
        ("stac/outlines/oggm_RGI60-14.03439.shp", None),
        ("real/harsha_lake/Harsha_Lake_CRS.gpkg", None),
    ):
        found = read_polygons(SAMPLES / name, "inventory", attributes=True)
        assert not found.left_out and len(found) == (rows or len(found.geometry)), name
