"""Sentinel-1 ground range products onto a tile: sigma nought, noise removed, placed by orbit and DEM.

A ground range file lies in the radar's own geometry: it has no coordinate system, only tie points, and what
an item says of a transform is invented. So each pixel of the tile asks where it was seen: its place in space
(DEM and geoid), the moment it lay abeam of the orbit, its distance then. Only the window of the measurement
that answers is read, and a pixel has the same bits whatever box asks for it.

The 5 x 1 looks (range x azimuth) of the published model's inputs are those of the IW GRDH product itself, as
its annotation counts them (and items as `sar:looks_range`, `sar:looks_azimuth`): a resolution of about
20 x 22 m on 10 m pixels. Nothing is averaged on top; five more looks in range would make 50 m pixels, where
the smallest lake of 0.5 ha is 70 m wide. A product of other looks is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monitor.archive.decoding import opened, window_of
from monitor.archive.profiles import S1_BANDS, CatalogProfile, RadarProfile
from monitor.archive.resampling import STEPS, Doubles, Floats, bilinear
from monitor.archive.retries import fetch, tried
from monitor.archive.scenes import Scene
from monitor.errors import AssetError
from monitor.stack.annotation import ImageGeometry, Lut, Noise, read_calibration, read_geometry, read_noise
from monitor.stack.geoid import undulation

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

#: sigma nought (-40 dB) where noise removal leaves less: 10 dB below the instrument's noise, and above 0,
#: so that calm water in VH stays dark water and does not become "not observed" in decibels
FLOOR = 1e-4
#: lines or pixels by which a file's own tie points may miss where its annotation puts them; real products
#: miss by up to 1.5, because their tie points take the nearest range polynomial and their lines a mixture
TIE_POINT_ERROR = 3.0
#: rows of a tile that are placed at a time, which bounds memory
STRIP = 128

Span = tuple[slice, slice]
File = tuple[str, str]


@dataclass(frozen=True)
class Files:
    """Where the files of one polarisation lie: asset and unsigned address of each."""

    measurement: File
    product: File
    calibration: File
    noise: File


def read_grd(
    scene: Scene,
    profile: CatalogProfile,
    geobox: GeoBox,
    dem: NDArray[np.floating[Any]],
    native: Callable[[Floats], Floats] | None = None,
    reach: int = 0,
) -> Floats:
    """Sigma nought of VV and VH, linear power, on a tile: (2, H, W), NaN where there is none.

    sigma0 = (DN^2 - noise) / A^2, A of the calibration vectors (ESA, Sentinel-1 radiometric calibration),
    taken bilinearly in linear power at each pixel's place in the image. Noise is subtracted before any
    averaging and what falls below -40 dB raised to it after, so that means stay unbiased. The ground is
    normalised by the ellipsoid, not by its slope; layover and shadow hold what the radar saw. There is none
    where the DEM has no height, where the place lies outside the image, and at DN 0, the swath's edge;
    products older than March 2018 (IPF 2.90) have faint noise there instead, which is not cut.

    Args:
        scene: a ground range item.
        profile: its catalogue, serving `grd`.
        geobox: the tile, (H, W).
        dem: (H, W) metres above the geoid, NaN where unknown.
        native: what is done on sigma nought (h, w) in the radar's geometry, before it is resampled: a
            speckle filter. Its input may be negative, and is NaN where there is none.
        reach: how many pixels around one `native` looks at.

    Raises:
        AssetError: an asset that is not listed, cannot be read, or contradicts the others.
    """
    files = _files(scene, profile.radar)
    # both polarisations are taken at once: one annotation tells the geometry of both
    geometry: ImageGeometry = _parsed(Remote(files["VV"].product, scene, profile), read_geometry)
    lines, pixels = image_positions(geometry, geobox, dem)
    out = np.full((len(S1_BANDS), *geobox.shape), np.nan, np.float32)
    span = _span(lines, pixels, geometry.shape, reach)
    if span is None:
        return out
    for number, band in enumerate(S1_BANDS):
        sigma = _sigma_nought(scene, profile, files[band], geometry, span)
        if native is not None:
            sigma = native(sigma)
        out[number] = bilinear(sigma, lines - span[0].start, pixels - span[1].start)
    return np.where(np.isfinite(out), np.maximum(out, np.float32(FLOOR)), np.float32(np.nan))


def missing_assets(assets: Mapping[str, Any], radar: RadarProfile) -> tuple[str, ...]:
    """Assets that ground range needs and an item does not list: measurements and annotations, in order."""
    return tuple(key for band in S1_BANDS for key in _keys(radar, band) if key not in assets)


def _keys(radar: RadarProfile, band: str) -> list[str]:
    """Asset keys of one polarisation: measurement, product, calibration, noise."""
    measurement = {str(name): key for name, key in radar.bands.items()}[band]
    notes = {str(name): key.format(band.lower()) for name, key in radar.annotations.items()}
    return [
        measurement,
        *(notes.get(kind, f"{kind} of {band}") for kind in ("product", "calibration", "noise")),
    ]


def _files(scene: Scene, radar: RadarProfile) -> dict[str, Files]:
    assets = scene.item["assets"]
    if missing := missing_assets(assets, radar):
        raise AssetError(scene.id, ", ".join(missing), "no address", "the item does not list it")
    found: dict[str, Files] = {}
    for band in S1_BANDS:
        measurement, product, calibration, noise = ((key, assets[key]["href"]) for key in _keys(radar, band))
        found[band] = Files(measurement, (product[0], product_href(product[1])), calibration, noise)
    return found


def product_href(href: str) -> str:
    """Address of the product annotation, from the one listed as such.

    Since the processor writes a report on radio interference (IPF 3.40), Planetary Computer and Earth Search
    list that one under the name: `annotation/rfi/rfi-iw-vv.xml` in place of `annotation/iw-vv.xml`.
    """
    return href.replace("/annotation/rfi/rfi-", "/annotation/")


def image_positions(
    geometry: ImageGeometry, geobox: GeoBox, dem: NDArray[np.floating[Any]]
) -> tuple[Doubles, Doubles]:
    """Where a tile's pixel centres were seen: lines and pixels (H, W) from the image's corner, NaN unknown.

    `dem` (H, W) is in metres above the geoid, orbits are above the ellipsoid: without the undulation of -70
    to -20 m of High Mountain Asia the image would lie 2 to 10 pixels off in range.
    """
    from pyproj import Transformer

    to_degrees = Transformer.from_crs(str(geobox.crs), 4326, always_xy=True)
    to_space = Transformer.from_crs(4979, 4978, always_xy=True)
    height, width = geobox.shape
    lines, pixels = np.full((height, width), np.nan), np.full((height, width), np.nan)
    for top in range(0, height, STRIP):
        rows = slice(top, min(top + STRIP, height))
        cols, below = np.meshgrid(np.arange(width) + 0.5, np.arange(rows.start, rows.stop) + 0.5)
        lon, lat = to_degrees.transform(*(geobox.affine @ (cols, below)))
        heights = dem[rows].astype(np.float64)
        known = np.isfinite(heights)
        heights = np.where(known, heights, 0.0) + undulation(lon, lat)
        found = geometry.locate(np.stack(to_space.transform(lon, lat, heights)))
        for place, out in zip(found, (lines, pixels), strict=True):
            # from the centre of the first pixel to the corner, rounded as `monitor.archive.resampling` rounds
            out[rows] = np.where(known, np.round((place + 0.5) * STEPS) / STEPS, np.nan)
    return lines, pixels


def _span(lines: Doubles, pixels: Doubles, shape: tuple[int, int], reach: int) -> Span | None:
    """Lines and pixels of the image that values at these places hang on; None where none lies in it."""
    inside = (lines >= 0) & (lines < shape[0]) & (pixels >= 0) & (pixels < shape[1])
    if not inside.any():
        return None
    spans = []
    for at, size in zip((lines[inside], pixels[inside]), shape, strict=True):
        first, last = int(np.floor(at.min() - 0.5)), int(np.ceil(at.max() - 0.5))
        spans.append(slice(max(first - reach, 0), min(last + 1 + reach, size)))
    return spans[0], spans[1]


def _sigma_nought(
    scene: Scene, profile: CatalogProfile, files: Files, geometry: ImageGeometry, span: Span
) -> Floats:
    """Sigma nought of a part of the image (h, w): linear power, noise removed (it may be negative)."""
    calibration: Lut = _parsed(Remote(files.calibration, scene, profile), read_calibration)
    noise: Noise = _parsed(Remote(files.noise, scene, profile), read_noise)

    def numbers_at(address: str) -> NDArray[Any]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Dataset has no geotransform")  # it has tie points only
            with opened(address, profile) as image:
                check_measurement(image, geometry)
                return np.asarray(window_of(image, (1,), span)[0])

    numbers = tried(scene.id, files.measurement, profile, numbers_at)
    lines, pixels = (np.arange(side.start, side.stop, dtype=np.float64) for side in span)
    power = numbers.astype(np.float64) ** 2
    if not geometry.denoised:
        power -= noise.at(lines, pixels)
    power /= calibration.at(lines, pixels) ** 2
    power[numbers == 0] = np.nan
    return np.asarray(power, np.float32)


def check_measurement(image: DatasetReader, geometry: ImageGeometry) -> None:
    """Refuse a file that is not the image its annotation describes.

    Raises:
        ValueError: it has a transform, another size, or tie points elsewhere than its annotation puts them.
    """
    from pyproj import Transformer

    if not image.transform.is_identity:
        raise ValueError("it has a transform of its own, so it is not in the radar's geometry")
    if image.shape != geometry.shape:
        raise ValueError(f"it has {image.shape} lines and pixels, its annotation says {geometry.shape}")
    points = image.gcps[0]
    if points:
        lon, lat, height, line, pixel = np.array([(p.x, p.y, p.z or 0.0, p.row, p.col) for p in points]).T
        space = np.stack(Transformer.from_crs(4979, 4978, always_xy=True).transform(lon, lat, height))
        found = np.stack(geometry.locate(space[:, :, None]))[:, :, 0]
        worst = float(np.abs(found - (line, pixel)).max())
        if not worst <= TIE_POINT_ERROR:
            raise ValueError(
                f"its tie points lie up to {worst:.1f} pixels from where its annotation puts them"
            )


@dataclass(frozen=True)
class Remote:
    """A small file of a scene; it is known by its address alone."""

    file: File
    scene: Scene = field(compare=False)
    profile: CatalogProfile = field(compare=False)


@lru_cache(maxsize=24)
def _parsed(remote: Remote, parse: Callable[[bytes], Any]) -> Any:
    """What an annotation says; the tiles of a scene share it, four scenes are kept."""
    content = tried(remote.scene.id, remote.file, remote.profile, fetch)
    return tried(remote.scene.id, remote.file, remote.profile, lambda _: parse(content))
