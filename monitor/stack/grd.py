"""Sentinel-1 ground range products on a tile: sigma nought without noise, geocoded by orbit and DEM.

A ground range file is in radar geometry. It has tie points but no coordinate system, and transforms in items
are made up. The image position of each pixel of the tile is therefore computed: from its place in space (DEM
and geoid) follow the zero-Doppler time and the slant range. Only the window of the measurement that contains
the positions is read, and a pixel has the same bits whatever box it is read in.

The 5 x 1 looks (range x azimuth) of the published model's inputs are those of the IW GRDH product, as in its
annotation (and in items as `sar:looks_range` and `sar:looks_azimuth`): a resolution of about 20 x 22 m on
10 m pixels. No further looks are averaged; five more in range would make 50 m pixels, while the smallest lake
of 0.5 ha is 70 m wide. A product with other looks is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monitor.archive.decoding import opened
from monitor.archive.limits import check_xml, window_of
from monitor.archive.profiles import S1_BANDS, CatalogProfile, RadarProfile
from monitor.archive.resampling import STEPS, Doubles, Floats, bilinear
from monitor.archive.retries import fetch, tried
from monitor.archive.scenes import Scene
from monitor.archive.validity import POWER, masks_of
from monitor.errors import AssetError
from monitor.stack.annotation import ImageGeometry, Lut, Noise, read_calibration, read_geometry, read_noise
from monitor.stack.filters import FLOOR
from monitor.stack.geoid import undulation

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

#: largest distance in lines or pixels between tie points of a file and their positions by its annotation; it
#: is up to 1.5 in real products, because their tie points use the nearest range polynomial
TIE_POINT_ERROR = 3.0
#: rows of a tile that are geocoded at a time, to limit memory
STRIP = 128

Span = tuple[slice, slice]
File = tuple[str, str]


@dataclass(frozen=True)
class Files:
    """The files of one polarisation: asset and unsigned address of each."""

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
    """Sigma nought of VV and VH in linear power on a tile: (2, H, W), NaN without data.

    sigma0 = (DN^2 - noise) / A^2 with A from the calibration vectors (ESA, Sentinel-1 radiometric
    calibration), interpolated bilinearly in linear power at each pixel's position in the image. Noise is
    subtracted before any averaging, and values below -40 dB are raised to it afterwards, so that means are
    unbiased. Backscatter is normalised by the ellipsoid, not by the slope, and pixels in layover and shadow
    keep their values. There is no data where the DEM has no height, outside the image, and where DN is 0 at
    the edge of the swath; products before March 2018 (IPF 2.90) have faint noise there, which is kept.

    Args:
        scene: a ground range item.
        profile: of its catalogue, made by `CatalogProfile.serving("grd")`.
        geobox: of the tile, (H, W).
        dem: (H, W) metres above the geoid, NaN where unknown.
        native: a step on sigma nought (h, w) in radar geometry before it is resampled, such as a speckle
            filter. Its input can be negative, and is NaN without data.
        reach: pixels around a pixel that `native` uses.

    Raises:
        AssetError: an asset is not listed, cannot be read, or contradicts the others.
    """
    files = _files(scene, profile.radar)
    # both polarisations are acquired at once and have the same geometry
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
    """Measurements and annotations that ground range needs and an item does not list, in order."""
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
    """Address of the product annotation, from the address that an item lists for it.

    For products with a report on radio interference (since IPF 3.40), Planetary Computer and Earth Search
    list that report instead: `annotation/rfi/rfi-iw-vv.xml` in place of `annotation/iw-vv.xml`.
    """
    return href.replace("/annotation/rfi/rfi-", "/annotation/")


def image_positions(
    geometry: ImageGeometry, geobox: GeoBox, dem: NDArray[np.floating[Any]]
) -> tuple[Doubles, Doubles]:
    """Lines and pixels (H, W) of a tile's pixel centres, from the corner of the image; NaN where unknown.

    `dem` (H, W) is in metres above the geoid, while orbits refer to the ellipsoid. Without the undulation of
    the geoid, -70 to -20 m in High Mountain Asia, the image would be displaced by 2 to 10 pixels in range.
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
            # from the centre of the first pixel to the corner, rounded as in `monitor.archive.resampling`
            out[rows] = np.where(known, np.round((place + 0.5) * STEPS) / STEPS, np.nan)
    return lines, pixels


def _span(lines: Doubles, pixels: Doubles, shape: tuple[int, int], reach: int) -> Span | None:
    """Lines and pixels of the image that interpolation at the positions uses; None if all lie outside."""
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
    """Sigma nought of a part of the image (h, w) in linear power, without noise; it can be negative."""
    from rasterio.windows import Window

    calibration: Lut = _parsed(Remote(files.calibration, scene, profile), read_calibration)
    noise: Noise = _parsed(Remote(files.noise, scene, profile), read_noise)

    def numbers_at(address: str) -> NDArray[Any]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Dataset has no geotransform")  # it has tie points only
            with opened(address, profile) as image:
                check_measurement(image, geometry)
                read = np.asarray(window_of(image, (1,), span)[0])
                mask = masks_of(image, (1,), Window.from_slices(*span)).get(1)
                return read if mask is None else np.where(mask, read, 0)

    numbers = tried(scene.id, files.measurement, profile, numbers_at)
    lines, pixels = (np.arange(side.start, side.stop, dtype=np.float64) for side in span)
    power = numbers.astype(np.float64) ** 2
    if not geometry.denoised:
        power -= noise.at(lines, pixels)
    power /= calibration.at(lines, pixels) ** 2
    power[(numbers == 0) | (power > POWER.highest)] = np.nan
    return np.asarray(power, np.float32)


def check_measurement(image: DatasetReader, geometry: ImageGeometry) -> None:
    """Check that a file is the image that its annotation describes.

    Raises:
        ValueError: it has a transform, another size, or tie points that contradict the annotation.
    """
    from pyproj import Transformer

    if not image.transform.is_identity:
        raise ValueError("it has a transform of its own, so it is not in radar geometry")
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
    """A small file of a scene; equality depends on its address only."""

    file: File
    scene: Scene = field(compare=False)
    profile: CatalogProfile = field(compare=False)


@lru_cache(maxsize=24)
def _parsed(remote: Remote, parse: Callable[[bytes], Any]) -> Any:
    """A parsed annotation, cached because all tiles of a scene use it; the cache holds four scenes."""
    content = tried(
        remote.scene.id, remote.file, remote.profile, lambda address: fetch(address, remote.profile.sources)
    )

    def parsed(_: str) -> Any:
        check_xml(content)
        return parse(content)

    return tried(remote.scene.id, remote.file, remote.profile, parsed)
