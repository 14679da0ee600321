"""The archive on disk: collections, items and assets with the conventions of Planetary Computer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Geod, Proj, Transformer
from scipy.ndimage import map_coordinates
from shapely.geometry import Polygon, mapping

from simulator.calendar import OpticalPass, RadarPass, optical_passes, radar_passes
from simulator.clouds import Sky, season_skies
from simulator.optical import render
from simulator.radar import LOOKS, NODATA, render_radar
from simulator.rasters import COG_TYPE, write_cog
from simulator.scene_classes import CIRRUS, CLOUD, CLOUD_MAYBE, SNOW, WATER
from simulator.settings import PAD, PIXEL, Settings, mgrs_tile
from simulator.spectra import BANDS, RESOLUTION
from simulator.world import World, smooth_surface

_PROJ = "https://stac-extensions.github.io/projection/v1.1.0/schema.json"
_EXTENSION = "https://stac-extensions.github.io/{}/v1.0.0/schema.json"
_EARTH, _ORBIT = 6_371_000.0, 7_071_000.0  # mean radii of the Earth and of Sentinel-1's orbit, metres
S2, S1, DEM = "sentinel-2-l2a", "sentinel-1-rtc", "cop-dem-glo-30"
_TITLES = {
    S2: "Simulated Sentinel-2 Level-2A", S1: "Simulated Sentinel-1 radiometrically terrain corrected",
    DEM: "Simulated Copernicus-like DEM, 30 m",
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """All passes of an archive, and the clouds of the optical ones."""

    optical: list[OpticalPass]
    radar: list[RadarPass]
    skies: list[Sky]
    """One per optical pass."""

    def clear(self, season: int) -> NDArray[np.bool_]:
        """Mask (H, W) of pixels without cloud on at least one date of the season."""
        views = [s.clear for p, s in zip(self.optical, self.skies, strict=True) if p.season == season]
        return np.asarray(np.logical_or.reduce(views))


def plan_passes(world: World) -> Plan:
    """Plan the passes of both satellites and the clouds of every season."""
    passes = optical_passes(world.settings)
    skies = [sky for season in world.settings.seasons for sky in season_skies(world, passes, season)]
    return Plan(passes, radar_passes(world.settings, passes), skies)


def write_archive(world: World, plan: Plan, out: Path, done: Callable[[str], None], workers: int = 2) -> None:
    """Render and write every scene with `workers` threads, then the catalogue; `done` gets each item's id."""
    jobs: list[Callable[[], pystac.Item]] = [
        partial(write_optical, world, p, sky, out) for p, sky in zip(plan.optical, plan.skies, strict=True)
    ]
    jobs += [partial(write_radar, world, p, out) for p in plan.radar]
    jobs.append(partial(write_dem, world, out))

    def run(job: Callable[[], pystac.Item]) -> pystac.Item:
        item = job()
        done(item.id)
        return item

    with ThreadPoolExecutor(workers) as pool:
        items = list(pool.map(run, jobs))
    write_catalogue(items, world.settings, out)


def write_optical(world: World, date: OpticalPass, sky: Sky, out: Path) -> pystac.Item:
    """Write a Sentinel-2 item with its 13 assets."""
    settings, tile = world.settings, mgrs_tile(world.settings)
    stamp = f"{date.time:%Y%m%dT%H%M%S}"
    name = f"S2{date.platform[-1]}_MSIL2A_{stamp}_R{date.orbit:03d}_T{tile}_{date.time:%Y%m%d}T120000"
    scene = render(world, date, sky)
    classes = scene.classes
    azimuth, elevation = date.sun
    item = _item(S2, name, date.time, (settings, settings.square), {
        "platform": date.platform, "constellation": "Sentinel 2", "instruments": ["msi"],
        "eo:cloud_cover": round(float(np.isin(classes, (CLOUD_MAYBE, CLOUD, CIRRUS)).mean() * 100), 6),
        "s2:processing_baseline": date.baseline, "s2:mgrs_tile": tile, "s2:product_type": "S2MSI2A",
        "s2:mean_solar_zenith": round(90 - elevation, 6), "s2:mean_solar_azimuth": round(azimuth, 6),
        "view:sun_azimuth": round(azimuth, 6), "view:sun_elevation": round(elevation, 6),
        "s2:snow_ice_percentage": round(float((classes == SNOW).mean() * 100), 6),
        "s2:water_percentage": round(float((classes == WATER).mean() * 100), 6),
        "s2:nodata_pixel_percentage": 0.0, "sat:orbit_state": "descending", "sat:relative_orbit": date.orbit,
    }, "eo", "sat", "view")  # fmt: skip
    for band in (*BANDS, "SCL"):
        metres = 20 if band == "SCL" else RESOLUTION.get(band, 20)
        grid = Affine(metres, 0, settings.origin[0], 0, -metres, settings.origin[1])
        data = classes if band == "SCL" else scene.bands[band]
        path = out / S2 / name / f"T{tile}_{stamp}_{band}_{metres}m.tif"
        fields = write_cog(path, data, settings.epsg, grid, 0, classes=band == "SCL")
        title = "Scene classification map (SCL)" if band == "SCL" else f"Band {band[1:]} - {metres}m"
        extra = fields | {"gsd": metres} | ({} if band == "SCL" else {"eo:bands": [{"name": band}]})
        item.add_asset(band, pystac.Asset(f"./{path.name}", title, None, COG_TYPE, ["data"], extra))
    return item


def write_radar(world: World, sight: RadarPass, out: Path) -> pystac.Item:
    """Write a Sentinel-1 RTC item with vv and vh."""
    settings = world.settings
    east, north = settings.origin[0] + sight.shift[0], settings.origin[1] + sight.shift[1]
    grid = Affine(PIXEL, 0, east, 0, -PIXEL, north)
    stop = sight.time.replace(microsecond=0)
    orbit = absolute_orbit(sight)
    name = (
        f"S1{sight.platform[-1]}_IW_GRDH_1SDV_{stop:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M}59_"
        f"{orbit_label(orbit)}_rtc"
    )
    power = render_radar(world, sight)
    item = _item(S1, name, sight.time, (settings, settings.square), {
        "platform": sight.platform, "constellation": "Sentinel-1", "sar:instrument_mode": "IW",
        "sar:frequency_band": "C", "sar:center_frequency": 5.405, "sar:product_type": "GRD",
        "sar:polarizations": ["VV", "VH"], "sar:looks_equivalent_number": LOOKS,
        "sar:observation_direction": "right", "sar:pixel_spacing_range": 10, "sar:pixel_spacing_azimuth": 10,
        "sat:orbit_state": sight.direction, "sat:relative_orbit": sight.orbit, "sat:absolute_orbit": orbit,
        **view_angles(settings, sight),
    }, "sar", "sat", "raster", "view")  # fmt: skip
    for k, polarisation in enumerate(("vv", "vh")):
        path = out / S1 / name / f"iw-{polarisation}.rtc.tif"
        fields = write_cog(path, power[k], settings.epsg, grid, NODATA)
        if k == 0:
            box, shape = fields["proj:bbox"], fields["proj:shape"]
            item.properties |= {"proj:bbox": box, "proj:shape": shape}
            item.properties["proj:transform"] = [*fields["proj:transform"], 0.0, 0.0, 1.0]
        fact = {
            "raster:bands": [{"nodata": int(NODATA), "data_type": "float32", "spatial_resolution": PIXEL}]
        }
        title = f"{polarisation.upper()}: gamma naught, terrain corrected"
        item.add_asset(polarisation, pystac.Asset(f"./{path.name}", title, None, COG_TYPE, ["data"], fact))
    return item


def absolute_orbit(sight: RadarPass) -> int:
    """Absolute orbit number: 15 per day since the launch of Sentinel-1A."""
    return (sight.time - datetime(2014, 4, 3, tzinfo=UTC)).days * 15


def orbit_label(orbit: int) -> str:
    """Absolute orbit and data take as in the names of products."""
    return f"{orbit:06d}_{orbit * 7 % 0xFFFFFF:06X}"


def view_angles(settings: Settings, sight: RadarPass) -> dict[str, float]:
    """Angles of the STAC view extension, which cannot be derived from the square as from a whole swath.

    `view:azimuth` is measured at the point below the satellite towards the scene, clockwise from true north;
    `sight.look` is measured at the scene, from grid north.
    """
    lon, lat = settings.centre
    grid_north = Proj(f"EPSG:{settings.epsg}").get_factors(lon, lat).meridian_convergence
    theta = np.radians(sight.incidence)
    distance = _EARTH * (theta - np.arcsin(_EARTH / _ORBIT * np.sin(theta)))
    _, _, azimuth = Geod(ellps="WGS84").fwd(lon, lat, sight.look + grid_north + 180, distance)
    return {"view:incidence_angle": round(sight.incidence, 6), "view:azimuth": round(azimuth % 360, 6)}


def write_dem(world: World, out: Path) -> pystac.Item:
    """Write the DEM at one arc second, a little wider than the square."""
    settings = world.settings
    surface = smooth_surface(world)
    to_degrees = Transformer.from_crs(settings.epsg, 4326, always_xy=True)
    to_map = Transformer.from_crs(4326, settings.epsg, always_xy=True)
    wide = settings.square.buffer(500)
    west, south, east, north = shapely.transform(wide, to_degrees.transform, interleaved=False).bounds
    second = 1 / 3600
    col0, col1 = int(np.floor(west / second)), int(np.ceil(east / second))
    row0, row1 = int(np.floor(-north / second)), int(np.ceil(-south / second))
    lon, lat = np.meshgrid((np.arange(col0, col1) + 0.5) * second, -(np.arange(row0, row1) + 0.5) * second)
    x, y = to_map.transform(lon, lat)
    rows = (settings.origin[1] - y) / PIXEL - 0.5 + PAD
    cols = (x - settings.origin[0]) / PIXEL - 0.5 + PAD
    heights = map_coordinates(surface, [rows, cols], order=1, mode="nearest").astype(np.float32)
    corner_lat, corner_lon = int(np.floor(settings.centre[1])), int(np.floor(settings.centre[0]))
    name = (
        f"Copernicus_DSM_COG_10_{'N' if corner_lat >= 0 else 'S'}{abs(corner_lat):02d}_00_"
        f"{'E' if corner_lon >= 0 else 'W'}{abs(corner_lon):03d}_00_DEM"
    )
    grid = Affine(second, 0, col0 * second, 0, -second, -row0 * second)
    path = out / DEM / name / f"{name}.tif"
    fields = write_cog(path, heights, 4326, grid, None)
    item = _item(DEM, name, datetime(2021, 4, 22, tzinfo=UTC), (settings, wide), {
        "gsd": 30, "platform": "TanDEM-X",
    })  # fmt: skip
    item.properties |= {
        "proj:epsg": 4326,
        "proj:shape": fields["proj:shape"],
        "proj:transform": fields["proj:transform"],
    }
    item.add_asset("data", pystac.Asset(f"./{path.name}", "DEM", None, COG_TYPE, ["data"]))
    return item


def _item(
    collection: str,
    name: str,
    when: datetime,
    ground: tuple[Settings, Polygon],
    properties: dict[str, Any],
    *extensions: str,
) -> pystac.Item:
    """An item with the properties common to all three collections; `ground` is in the settings' UTM zone."""
    settings, outline_utm = ground
    to_degrees = Transformer.from_crs(settings.epsg, 4326, always_xy=True)
    outline = shapely.transform(outline_utm.segmentize(2000), to_degrees.transform, interleaved=False)
    facts = properties | {"proj:epsg": settings.epsg, "simulated": True}
    item = pystac.Item(name, mapping(outline), list(outline.bounds), when, facts, collection=collection)
    item.stac_extensions = [_PROJ, *(_EXTENSION.format(e) for e in extensions)]
    return item


def write_catalogue(items: list[pystac.Item], settings: Settings, out: Path) -> None:
    """Write catalog.json, a collection per sensor and the items, all with relative links."""
    catalogue = pystac.Catalog(
        "simulated-range", f"Simulated mountain range, seed {settings.seed}: no real data"
    )
    first, last = settings.seasons[0], settings.seasons[-1]
    for name, title in _TITLES.items():
        own = [item for item in items if item.collection_id == name]
        boxes = np.array([item.bbox for item in own])
        extent = pystac.Extent(
            pystac.SpatialExtent([[*map(float, boxes[:, :2].min(0)), *map(float, boxes[:, 2:].max(0))]]),
            pystac.TemporalExtent([[datetime(first, 1, 1, tzinfo=UTC), datetime(last, 12, 31, tzinfo=UTC)]]),
        )
        collection = pystac.Collection(
            name, f"{title} (simulated, not measured)", extent, title, license="Apache-2.0"
        )
        catalogue.add_child(collection)
        collection.add_items(own)
    # without the slash pystac takes a folder such as `archive.part` for a file; relative paths lose the slash
    catalogue.normalize_and_save(f"{out.resolve()}/", pystac.CatalogType.SELF_CONTAINED)
