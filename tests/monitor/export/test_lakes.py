"""Lakes as files, read with other readers, have the content of the database."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet
import pyogrio
import pystac
import pytest
import shapely
from sqlalchemy import text
from stac_pydantic import Item

from monitor.cli.export import export_lakes_to
from monitor.drawing.palette import VERDICTS
from monitor.errors import RefusedError
from monitor.export.columns import COLUMNS
from monitor.export.formats import TableFormat
from monitor.export.lakes import LakesRequest, LakesWritten, export_lakes
from monitor.settings import Settings
from monitor.workspace import Workspace
from storage.database import Database
from storage.errors import StorageError
from storage.exports import View
from tests.support.exporting import SCENE, Kept, kept_world, uid
from tests.support.places import ROOT
from tests.support.workspaces import monitor


@pytest.fixture(scope="module")
def world(postgis_url: str, migrated_template: str, module_workspace: Path) -> Iterator[Kept]:
    with kept_world(postgis_url, migrated_template, module_workspace) as made:
        yield made


@pytest.fixture
def kept(world: Kept, tmp_path: Path) -> Kept:
    """The database is only read; each test writes to a folder of its own."""
    return replace(world, out=tmp_path)


def write(kept: Kept, name: str, kind: TableFormat, **wanted: Any) -> LakesWritten:
    return export_lakes(kept.database, kept.workspace, LakesRequest(kept.out / name, kind, **wanted))


def truth(kept: Kept, view: str, where: str = "true") -> pd.DataFrame:
    """The view's rows without the outline, as text except for numbers."""
    query = f"SELECT v.*, ST_AsText(geom) AS wkt FROM {view} v WHERE {where}"
    if view == View.CHANGES:
        query = f"SELECT v.* FROM {view} v WHERE {where}"
    with kept.database.connect() as conn:
        found = pd.DataFrame(conn.execute(text(query)).mappings().all())
    return found.drop(columns=["geom"], errors="ignore")


def same(file: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare rows and values, whatever their order."""
    key = [name for name in ("lake_id", "season", "region") if name in expected]
    assert len(file) == len(expected) > 0
    assert [name for name in file if name != "geometry"] == [name for name in expected if name != "wkt"]

    def ordered(rows: pd.DataFrame) -> list[dict[str, Any]]:
        return sorted(rows.to_dict("records"), key=lambda row: [str(row[name]) for name in key])

    for mine, theirs in zip(ordered(file), ordered(expected), strict=True):
        for name in set(theirs) - {"wkt"}:
            assert plain(mine[name]) == plain(theirs[name]), name
        if "wkt" in theirs and "geometry" in mine:
            outline, wanted = plain(mine["geometry"]), plain(theirs["wkt"])
            assert (outline is None) == (wanted is None)
            if outline is not None:
                assert mine["geometry"].symmetric_difference(shapely.from_wkt(wanted)).area < 1e-10


def plain(value: Any) -> Any:
    """A value independent of the file's type for it: days as text, JSON parsed, missing values as None."""
    if isinstance(value, str) and value.startswith("{"):
        return json.loads(value)
    if hasattr(value, "geom_type") or isinstance(value, str | dict):
        return value
    if pd.isna(value):
        return None
    if isinstance(value, float | int | np.number):  # also true and false
        return float(value)
    return str(value)[:10] if hasattr(value, "year") else str(value)


def test_geopackage_has_three_layers_equal_to_the_database(kept: Kept) -> None:
    written = write(kept, "lakes.gpkg", TableFormat.GPKG)
    counts = {"lake_latest": 5, "lake_area_history": 9, "lake_change_yearly": 8}
    assert written.rows == {view: len(truth(kept, view)) for view in View} == counts | written.rows
    for view in View:
        layer = pyogrio.read_dataframe(written.file, layer=view)
        assert layer.crs.to_epsg() == 4326
        same(layer, truth(kept, view))
        info = pyogrio.read_info(written.file, layer=view)
        assert info["geometry_name"] == "geom" and info["geometry_type"] == "MultiPolygon"
    changes = pyogrio.read_dataframe(written.file, layer="lake_change_yearly")
    drained = changes[changes.verdict == "drained"]
    assert len(drained) == 1 and drained.geometry.notna().all()  # the last outline
    latest = pyogrio.read_dataframe(written.file, layer="lake_latest").set_index("lake_id")
    grown = changes[changes.verdict == "grown"].iloc[0]
    assert grown.geometry.equals(latest.geometry[grown.lake_id])
    assert str(changes.day_before.dropna().iloc[0])[:10].endswith("08-30")


def test_geopackage_contains_styles(kept: Kept) -> None:
    """The table of styles that QGIS reads: its columns, one default style per layer, existing field names."""
    file = write(kept, "lakes.gpkg", TableFormat.GPKG).file
    with closing(sqlite3.connect(file)) as db:
        columns = {name: kind for _, name, kind, *_ in db.execute("PRAGMA table_info(layer_styles)")}
        # the query of QgsOgrProviderMetadata for the style of a layer
        query = (
            "SELECT styleQML, styleSLD FROM layer_styles WHERE useAsDefault = 1 AND f_table_schema = '' "
            "AND f_table_name = ? AND f_geometry_column = ? ORDER BY update_time DESC"
        )
        found = {view: db.execute(query, (view.value, "geom")).fetchall() for view in View}
        kinds = dict(db.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert " ".join(columns) == (
        "id f_table_catalog f_table_schema f_table_name f_geometry_column styleName styleQML styleSLD "
        "useAsDefault description owner ui update_time"
    )
    assert columns["id"] == "INTEGER" and columns["useAsDefault"] == "BOOLEAN"
    assert columns["update_time"] == "DATETIME"
    assert kinds == {**{view.value: "features" for view in View}, "layer_styles": "attributes"}
    attributes = {View.LATEST: "area_m2", View.HISTORY: "season", View.CHANGES: "verdict"}
    for view, styles in found.items():
        ((qml, sld),) = styles
        renderer = Xml.fromstring(qml).find("renderer-v2")
        assert renderer is not None and renderer.get("attr") == attributes[view]
        classes = renderer.findall("categories/category") or renderer.findall("ranges/range")
        symbols = {symbol.get("name") for symbol in renderer.findall("symbols/symbol")}
        assert {entry.get("symbol") for entry in classes} == symbols and len(symbols) > 2
        assert all(symbol.find("layer/Option[@type='Map']") is not None for symbol in renderer.iter("symbol"))
        rules = Xml.fromstring(sld.encode()).findall(".//{http://www.opengis.net/se}Rule")
        assert [r.findtext("{http://www.opengis.net/se}Name") for r in rules] == [
            c.get("label") for c in classes
        ]
    renderer = Xml.fromstring(found[View.CHANGES][0][0]).find("renderer-v2")
    assert renderer is not None
    for entry in renderer.iter("category"):
        symbol = renderer.find(f"symbols/symbol[@name='{entry.get('symbol')}']/layer/Option")
        assert symbol is not None
        colour = symbol.find("Option[@name='outline_color']").get("value")  # type: ignore[union-attr]
        numbers = [int(part) for part in str(colour).split(",")[:3]]
        assert "#{:02x}{:02x}{:02x}".format(*numbers) == VERDICTS[entry.get("value")]  # type: ignore[index]
    ranges = Xml.fromstring(found[View.LATEST][0][0]).findall(".//range")
    edges = [(float(str(r.get("lower"))), float(str(r.get("upper")))) for r in ranges]
    assert [high for _, high in edges[:-1]] == [low for low, _ in edges[1:]] and edges[0][0] == 0


def test_geoparquet(kept: Kept) -> None:
    file = write(kept, "lakes.parquet", TableFormat.GEOPARQUET, history=True).file
    frame = geopandas.read_parquet(file)
    same(frame.drop(columns="bbox", errors="ignore"), truth(kept, "lake_area_history"))
    geo = json.loads(pyarrow.parquet.read_schema(file).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    column = geo["columns"][geo["primary_column"]]
    frame.to_parquet(file.with_name("theirs.parquet"), write_covering_bbox=True, schema_version="1.1.0")
    theirs = json.loads(pyarrow.parquet.read_schema(file.with_name("theirs.parquet")).metadata[b"geo"])
    assert column == theirs["columns"]["geometry"]
    west, south, east, north = frame[frame.code.notna()].iloc[[0]].total_bounds
    near = geopandas.read_parquet(file, bbox=(west, south, east, north))
    assert 0 < len(near) < len(frame)


def test_geojson_follows_its_rfc(kept: Kept) -> None:
    file = write(kept, "lakes.geojson", TableFormat.GEOJSON).file
    content = json.loads(file.read_text())
    assert "crs" not in content and len(content["bbox"]) == 4
    rings = [shapely.geometry.shape(f["geometry"]) for f in content["features"] if f["geometry"]]
    assert all(part.exterior.is_ccw for shape in rings for part in shape.geoms)
    frame = geopandas.GeoDataFrame(
        [f["properties"] | {"geometry": f["geometry"]} for f in content["features"]]
    )
    frame["geometry"] = [g and shapely.geometry.shape(g) for g in frame["geometry"]]
    same(pd.DataFrame(frame), truth(kept, "lake_latest"))


def test_csv(kept: Kept) -> None:
    file = write(kept, "lakes.csv", TableFormat.CSV, history=True, region="demo").file
    frame = pd.read_csv(file, encoding="utf-8", keep_default_na=True)
    frame["geometry"] = [shapely.from_wkt(w) if isinstance(w, str) else None for w in frame.geometry]
    same(frame, truth(kept, "lake_area_history", "region = 'demo'"))
    assert "Kölsai" in file.read_text("utf-8")


def test_one_season_has_the_observations_of_that_season(kept: Kept) -> None:
    file = write(kept, "l.parquet", TableFormat.GEOPARQUET, season=2021, region="demo").file
    same(geopandas.read_parquet(file), truth(kept, "lake_area_history", "region = 'demo' AND season = 2021"))
    gpkg = write(kept, "l.gpkg", TableFormat.GPKG, season=2021)
    assert gpkg.rows == {"lake_latest": 4, "lake_area_history": 4, "lake_change_yearly": 3}
    latest = pyogrio.read_dataframe(gpkg.file, layer="lake_latest")
    assert set(latest.season) == {2021}  # lake 2, drained later, is water here
    assert latest.set_index("lake_id").outcome[str(uid("lake", 2))] == "water"
    last = write(kept, "last.gpkg", TableFormat.GPKG, season=2022).file
    same(pyogrio.read_dataframe(last, layer="lake_latest"), truth(kept, "lake_latest"))


def test_item_beside_the_file(kept: Kept) -> None:
    written = write(kept, "lakes.gpkg", TableFormat.GPKG, season=2021, region="demo")
    assert written.item.name == "lakes.gpkg.json"
    content = json.loads(written.item.read_text())
    Item.model_validate(content)
    item = pystac.Item.from_file(str(written.item))
    assert item.to_dict(include_self_link=False)["properties"] == content["properties"]
    asset = item.assets["lakes"]
    assert Path(str(asset.get_absolute_href())) == written.file
    assert asset.extra_fields["file:size"] == written.file.stat().st_size == written.bytes
    digest = hashlib.sha256(written.file.read_bytes()).hexdigest()
    assert asset.extra_fields["file:checksum"] == f"1220{digest}"
    assert asset.extra_fields["table:row_count"] == 3
    assert {column["name"] for column in asset.extra_fields["table:columns"]} >= {"lake_id", "area_m2"}
    assert content["properties"]["proj:code"] == "EPSG:4326"
    assert (str(item.common_metadata.start_datetime)[:10], str(item.common_metadata.end_datetime)[:10]) == (
        "2021-07-01",
        "2021-10-31",
    )
    assert [link.href for link in item.links if link.rel == "derived_from"] == [SCENE]
    assert item.properties["lake_monitor:scenes"] == ["sentinel-2-l2a/S2A_1"]
    assert item.bbox == pytest.approx(pyogrio.read_info(written.file, layer="lake_latest")["total_bounds"])


def test_every_column_is_described(kept: Kept) -> None:
    for view in View:
        names = set(truth(kept, view)) - {"wkt"}
        assert not names - set(COLUMNS), view
    page = (ROOT / "docs/exports.md").read_text()
    assert all(f"| `{name}` | {meaning} |" in page for name, meaning in COLUMNS.items())


def test_rows_are_streamed_in_batches(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch or many give the same file; a broken stream leaves no file."""
    from storage import exports

    whole = geopandas.read_parquet(write(kept, "a.parquet", TableFormat.GEOPARQUET, history=True).file)
    stream = exports.stream
    monkeypatch.setattr(exports, "stream", lambda conn, view, scope: stream(conn, view, scope, 2))
    parts = geopandas.read_parquet(write(kept, "b.parquet", TableFormat.GEOPARQUET, history=True).file)
    pd.testing.assert_frame_equal(whole, parts)

    @contextmanager
    def broken(conn: Any, view: View, scope: exports.Scope) -> Iterator[pyarrow.RecordBatchReader]:
        def some(reader: pyarrow.RecordBatchReader) -> Iterator[pyarrow.RecordBatch]:
            yield reader.read_next_batch()
            raise StorageError("the connection was lost")

        with stream(conn, view, scope, 2) as reader:
            yield pyarrow.RecordBatchReader.from_batches(reader.schema, some(reader))

    monkeypatch.setattr(exports, "stream", broken)
    before = set(kept.out.iterdir())
    for name, kind in (
        ("c.gpkg", "gpkg"),
        ("c.parquet", "geoparquet"),
        ("c.geojson", "geojson"),
        ("c.csv", "csv"),
    ):
        with pytest.raises(StorageError, match="the connection was lost"):
            write(kept, name, TableFormat(kind), history=True)
    assert set(kept.out.iterdir()) == before


def test_the_command(kept: Kept) -> None:
    file = kept.out / "lakes.gpkg"
    done = monitor("export", "lakes", file, "-w", kept.folder, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rows"]["lake_latest"] == 5 and answer["format"] == "gpkg"
    before = file.read_bytes()
    again = monitor("export", "lakes", file, "-w", kept.folder)
    assert again.returncode == 2 and "--force" in again.stderr and file.read_bytes() == before


def test_force_overwrites_and_leaves_no_partial_files(kept: Kept) -> None:
    (kept.out / "out").mkdir()
    (kept.out / "out" / "lakes.part.gpkg").write_text("of a run that was killed")
    write(kept, "out/lakes.gpkg", TableFormat.GPKG)
    with pytest.raises(RefusedError, match="--force"):
        write(kept, "out/lakes.gpkg", TableFormat.GPKG)
    assert write(kept, "out/lakes.gpkg", TableFormat.GPKG, force=True).rows["lake_latest"] == 5
    assert sorted(path.name for path in (kept.out / "out").iterdir()) == ["lakes.gpkg", "lakes.gpkg.json"]


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("a.csv", {"region": "atlantis"}, "no surveyed region 'atlantis'; known: demo, other"),
        ("a.csv", {"season": 2019}, "it has no survey; the lake history has 2015, 2021, 2022"),
        ("a.csv", {"season": 2021, "history": True}, "give one of the two options"),
        ("a.shp", {}, "unknown file extension"),
        ("none/a.csv", {}, "there is no folder"),
        ("folder", {"asked": TableFormat.CSV}, "is a folder"),
    ],
)
def test_refusals(kept: Kept, name: str, wanted: dict[str, Any], message: str) -> None:
    (kept.out / "folder").mkdir()
    arguments = {"asked": None, "region": None, "season": None, "history": False} | wanted
    with pytest.raises(RefusedError, match=message):
        export_lakes_to(kept.folder, kept.out / name, force=False, json=False, **arguments)


def test_nothing_surveyed_yet(workspace: Path, database: Database) -> None:
    settings = Settings.model_validate({"catalog": {"profile": "plain"}, "model": "index-baseline"})
    with pytest.raises(RefusedError, match="nothing has been surveyed yet"):
        wanted = LakesRequest(workspace / "a.csv", TableFormat.CSV)
        export_lakes(database, Workspace(workspace, settings), wanted)
