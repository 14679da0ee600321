"""Pixels as files, read again, equal those of the cube, at the same place."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401 - gives xarray its `.odc`
import pystac
import pytest
import rasterio
import shapely
import xarray
from stac_pydantic import Item

from monitor.cli.export import export_masks_to
from monitor.drawing.palette import BLUE, rgb
from monitor.errors import RefusedError
from monitor.export import rasters
from monitor.export.formats import RasterFormat
from monitor.export.masks import MasksRequest, ZoneWritten, export_masks
from monitor.grid import NORTHING_ORIGIN, PIXEL
from monitor.workspace import open_system
from storage.codes import Reason
from storage.cube import LAYERS, Cube
from storage.database import Database
from tests.support.exporting import SCENE, SIZE, Kept, keep, kept_world, uid
from tests.support.places import MODEL
from tests.support.workspaces import monitor

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
EVERY = ("mask", "probability", "reason", "uncertainty", "sources")


@pytest.fixture(scope="module")
def world(postgis_url: str, migrated_template: str, module_workspace: Path) -> Iterator[Kept]:
    with kept_world(postgis_url, migrated_template, module_workspace) as made:
        yield made


@pytest.fixture
def kept(world: Kept, tmp_path: Path) -> Kept:
    """The cube is only read; each test writes to a folder of its own."""
    return replace(world, out=tmp_path)


def write(kept: Kept, kind: RasterFormat = RasterFormat.COG, **wanted: Any) -> list[ZoneWritten]:
    workspace = kept.workspace
    with open_system(workspace) as system:
        arguments = MasksRequest(kept.out / "out", kind, **{"season": 2021} | wanted)
        return export_masks(system, workspace.region("demo"), arguments)


def corner(kept: Kept, epsg: int) -> tuple[int, int]:
    tiles = [tile for tile in kept.tiles if tile.epsg == epsg]
    return min(tile.row for tile in tiles), min(tile.col for tile in tiles)


def test_cogs_have_the_pixels_of_the_cube(kept: Kept) -> None:
    zones = write(kept, layers=EVERY)
    assert [(zone.epsg, zone.tiles) for zone in zones] == [(32643, 2), (32644, 1)]
    for zone in zones:
        top, left = corner(kept, zone.epsg)
        for layer, path in zip(EVERY, zone.files, strict=True):
            assert path.name == f"demo-2021-{zone.epsg}-{layer}.tif"
            with rasterio.open(path) as file:
                whole = file.read(1)
                assert file.crs.to_epsg() == zone.epsg and file.shape == zone.shape
                assert file.transform[:6] == (10, 0, left * PIXEL, 0, -10, NORTHING_ORIGIN - top * PIXEL)
                assert file.dtypes[0] == LAYERS[layer].dtype
                np.testing.assert_equal(file.nodata, LAYERS[layer].fill)
            expected = np.full(zone.shape, LAYERS[layer].fill, LAYERS[layer].dtype)
            for tile in (tile for tile in kept.tiles if tile.epsg == zone.epsg):
                row, col = tile.row - top, tile.col - left
                expected[row : row + SIZE, col : col + SIZE] = kept.pixels[tile][layer]
            np.testing.assert_array_equal(whole, expected)


def test_cogs_are_cloud_optimised_and_described(kept: Kept) -> None:
    zone = write(kept, layers=EVERY)[0]
    for layer, path in zip(EVERY, zone.files, strict=True):
        with rasterio.open(path) as file:
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert file.profile["tiled"] and file.block_shapes == [(512, 512)] and file.overviews(1) == [2]
            tags = file.tags()
            assert (tags["region"], tags["season"], tags["model"]) == ("demo", "2021", "model 1")
            assert tags["cube_tag"] == f"demo-2021-{kept.surveys[2021]}" == zone.cube
            assert tags["layer"] == layer
            whole, half = file.read(1), file.read(1, out_shape=(zone.shape[0] // 2, zone.shape[1] // 2))
            if layer in ("mask", "reason", "sources"):
                if layer != "sources":
                    assert file.colormap(1)[1][:3] == rgb(BLUE)  # water, in both
                assert set(np.unique(half)) <= set(np.unique(whole))
                assert file.tags(1)["flag_meanings"] == LAYERS[layer].attributes["flag_meanings"]
            else:  # mean of four pixels, without those that have no value
                four = whole[: 2 * (SIZE // 2), : 2 * (SIZE // 2)].reshape(SIZE // 2, 2, SIZE // 2, 2)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    means = np.nanmean(four, axis=(1, 3))
                np.testing.assert_allclose(half[: SIZE // 2, : SIZE // 2], means, rtol=1e-5)
    with rasterio.open(zone.files[2]) as file:
        assert file.colormap(1)[Reason.CLOUD][:3] == (255, 255, 255)


def test_zarr_opens_in_xarray(kept: Kept) -> None:
    zone = write(kept, RasterFormat.ZARR, layers=EVERY)[0]
    (path,) = set(zone.files)
    assert json.loads((path / "zarr.json").read_text())["zarr_format"] == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xarray.open_zarr(path, chunks=None, consolidated=False)
    top, left = corner(kept, zone.epsg)
    assert set(found.data_vars) == set(EVERY) and {"x", "y", "spatial_ref", "season"} == set(found.coords)
    assert found.mask.dtype == "uint8" and found.mask.attrs["grid_mapping"] == "spatial_ref"
    assert found.odc.geobox.crs.epsg == zone.epsg and found.odc.geobox.shape == zone.shape
    assert found.odc.geobox.affine[:6] == (10, 0, left * PIXEL, 0, -10, NORTHING_ORIGIN - top * PIXEL)
    assert "crs_wkt" in found.spatial_ref.attrs and found.attrs["region"] == "demo"
    for layer in EVERY:
        expected = np.full(zone.shape, LAYERS[layer].fill, LAYERS[layer].dtype)
        for tile in (tile for tile in kept.tiles if tile.epsg == zone.epsg):
            row, col = tile.row - top, tile.col - left
            expected[row : row + SIZE, col : col + SIZE] = kept.pixels[tile][layer]
        np.testing.assert_array_equal(found[layer].values, expected)
        assert len([f for f in (path / layer / "c").rglob("*") if f.is_file()]) == 2  # only written seasons
    Item.model_validate(json.loads(zone.item.read_text()))
    asset = pystac.Item.from_file(str(zone.item)).assets["zarr"]
    assert "file:checksum" not in asset.extra_fields and asset.extra_fields["file:size"] == zone.bytes
    opened = xarray.open_dataset(str(asset.get_absolute_href()), **asset.extra_fields["xarray:open_kwargs"])
    assert opened.mask.shape == zone.shape


def test_items_beside_the_files(kept: Kept) -> None:
    for zone in write(kept, layers=("mask", "probability")):
        content = json.loads(zone.item.read_text())
        Item.model_validate(content)
        item = pystac.Item.from_file(str(zone.item))
        assert item.id == zone.item.stem == f"demo-2021-{zone.epsg}"
        assert shapely.geometry.shape(content["geometry"]).is_valid
        assert content["bbox"] == pytest.approx(shapely.geometry.shape(content["geometry"]).bounds)
        fields = content["properties"]
        assert fields["proj:code"] == f"EPSG:{zone.epsg}" and tuple(fields["proj:shape"]) == zone.shape
        assert (fields["start_datetime"][:10], fields["end_datetime"][:10]) == ("2021-07-01", "2021-10-31")
        assert fields["lake_monitor:model"] == "model 1" and fields["lake_monitor:cube_tag"] == zone.cube
        assert [link.href for link in item.links if link.rel == "derived_from"] == [SCENE]
        assert item.properties["lake_monitor:scenes"] == ["sentinel-2-l2a/S2A_1"]
        for layer, path in zip(("mask", "probability"), zone.files, strict=True):
            asset = item.assets[layer]
            assert Path(str(asset.get_absolute_href())) == path
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert asset.extra_fields["file:checksum"] == f"1220{digest}"
            (band,) = asset.extra_fields["raster:bands"]
            assert band["data_type"] == LAYERS[layer].dtype and band["spatial_resolution"] == 10
        classes = item.assets["mask"].extra_fields["classification:classes"]
        assert [(c["value"], c["name"]) for c in classes] == [(0, "dry"), (1, "water"), (255, "no_answer")]
        assert classes[1]["color_hint"] == BLUE.removeprefix("#").upper()
        assert {uri.split("/")[3] for uri in item.stac_extensions} == {
            "projection", "file", "raster", "classification",
        }  # fmt: skip


def test_the_state_of_the_survey_is_written_not_a_later_one(workspace: Path, database: Database) -> None:
    """A tile computed again after the survey is in the head of the cube, but not in the survey's snapshot."""
    kept = keep(workspace, database)
    tile = kept.tiles[0]
    cube = Cube(kept.folder / "cube", SIZE, "demo")
    later = {name: values * 0 for name, values in kept.pixels[tile].items()}
    slot = cube.slot().write(tile.epsg, 2021, tile.row, tile.col, later, uid("later"))
    cube.commit(slot, "later")
    cube.tag("mine")
    zone = write(kept)[0]
    with rasterio.open(zone.files[0]) as file:
        assert file.read(1).max() == 255 and (file.read(1) == 1).any()
    mine = write(kept, tag="mine", force=True)[0]
    assert mine.cube == "mine" and mine.model is None
    row, col = (tile.row - corner(kept, tile.epsg)[0], tile.col - corner(kept, tile.epsg)[1])
    with rasterio.open(mine.files[0]) as file:
        assert not file.read(1)[row : row + SIZE, col : col + SIZE].any()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"layers": ["mask", "depth"]}, "--layer depth: the cube has probability, mask"),
        ({"tag": "nowhere"}, "--tag nowhere: .* has no tag nowhere"),
        ({"season": 2019}, "holds no tile of demo in that season"),
        ({"season": 2019, "region": None}, "holds no tile of demo in that season"),
        ({"region": "atlantis"}, "there is no region 'atlantis'"),
    ],
)
def test_refusals(kept: Kept, wanted: dict[str, Any], message: str) -> None:
    arguments = {
        "region": "demo",
        "season": 2021,
        "layers": ["mask"],
        "tag": None,
        "kind": RasterFormat.COG,
    } | wanted
    with pytest.raises(RefusedError, match=message):
        export_masks_to(kept.folder, kept.out / "out", force=False, json=False, **arguments)
    assert not (kept.out / "out").exists()


def test_nothing_is_overwritten_without_force_or_left_incomplete(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in RasterFormat:
        files = write(kept, kind)[0].files
        for item in (kept.out / "out").glob("*.json"):
            item.unlink()
        with pytest.raises(RefusedError, match="--force"):
            write(kept, kind)
        write(kept, kind, force=True)
        assert all(file.exists() for file in files)
        for item in (kept.out / "out").glob("*.json"):
            item.unlink()

    def broken(*arguments: Any, **options: Any) -> None:
        raise rasterio.errors.RasterioIOError("no space left")

    monkeypatch.setattr(rasters.rasterio.shutil, "copy", broken)
    with pytest.raises(rasters.MonitorError, match="could not be written: no space left"):
        write(kept, layers=("reason",))
    assert not [path.name for path in (kept.out / "out").iterdir() if "reason" in path.name]
    assert not list((kept.out / "out").glob("*part*"))


def test_the_command(kept: Kept) -> None:
    target = kept.out / "out"
    options = ("--season", "2021", "--layer", "mask", "--layer", "reason", "-w", kept.folder)
    done = monitor("export", "masks", target, *options, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [zone["epsg"] for zone in answer] == [32643, 32644]
    assert "mask 32643" in done.stderr  # part of the progress messages
    assert "left out: --season 2021" in done.stderr and "no tile of other" in done.stderr
    assert sorted(path.name for path in target.iterdir()) == sorted(
        f"demo-2021-{epsg}{end}" for epsg in (32643, 32644) for end in ("-mask.tif", "-reason.tif", ".json")
    )
