"""Annotations of a Sentinel-1 ground range product: its image geometry, calibration and noise.

Orbit, range conversion and calibration are read by xarray-sentinel, and image positions are computed by
sarsen. Noise is read here, because xarray-sentinel supports neither the layout before IPF 2.90, nor vectors
whose pixels differ from line to line, nor more than the first azimuth block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr
    from sarsen.orbit import OrbitPolyfitInterpolator

Floats = NDArray[np.float64]
#: range x azimuth looks of the IW GRDH product
LOOKS = (5, 1)
SPEED_OF_LIGHT = 299_792_458.0
#: from the middle of a scene of 30 s the result of the second step is accurate to a micrometre
NEWTON_STEPS = 3


@dataclass(frozen=True)
class Lut:
    """A lookup table over the image: vectors of values at some lines, each vector at its own pixels."""

    #: (N,) ascending
    lines: Floats
    #: N vectors of ascending pixels
    pixels: tuple[Floats, ...]
    #: N vectors of values
    values: tuple[Floats, ...]

    def at(self, lines: Floats, pixels: Floats) -> Floats:
        """Bilinear values (len(lines), len(pixels)); constant beyond the ends of the table."""
        columns = np.stack([np.interp(pixels, p, v) for p, v in zip(self.pixels, self.values, strict=True)])
        position = np.interp(lines, self.lines, np.arange(len(self.lines)))
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, len(self.lines) - 1)
        share = (position - low)[:, None]
        return np.asarray(columns[low] * (1 - share) + columns[high] * share)


@dataclass(frozen=True)
class AzimuthBlock:
    """Noise of one sub-swath along its lines, relative to the range vectors."""

    lines: slice
    pixels: slice
    at_lines: Floats
    factor: Floats


@dataclass(frozen=True)
class Noise:
    """Thermal noise in squared digital numbers: range vectors, and since IPF 2.90 azimuth factors."""

    range: Lut
    azimuth: tuple[AzimuthBlock, ...]

    def at(self, lines: Floats, pixels: Floats) -> Floats:
        """Noise (len(lines), len(pixels)) at integer lines and pixels."""
        noise = self.range.at(lines, pixels)
        for block in self.azimuth:
            rows = (lines >= block.lines.start) & (lines < block.lines.stop)
            cols = (pixels >= block.pixels.start) & (pixels < block.pixels.stop)
            if rows.any() and cols.any():
                factor = np.interp(lines[rows], block.at_lines, block.factor)
                noise[np.ix_(rows, cols)] *= factor[:, None]
        return noise


def read_noise(xml: bytes) -> Noise:
    """Noise of a noise annotation: `noiseVectorList`, or range and azimuth vectors since IPF 2.90.

    Raises:
        ValueError: there are no noise vectors.
    """
    root = ElementTree.parse(BytesIO(xml)).getroot()
    vectors = root.findall(".//noiseRangeVector") or root.findall(".//noiseVector")
    if not vectors:
        raise ValueError("it has no noise vectors")
    table = Lut(
        np.array([_number(vector, "line") for vector in vectors]),
        tuple(_numbers(vector, "pixel") for vector in vectors),
        tuple(
            _numbers(vector, "noiseLut" if vector.tag == "noiseVector" else "noiseRangeLut")
            for vector in vectors
        ),
    )
    blocks = (_azimuth_block(vector) for vector in root.iterfind(".//noiseAzimuthVector"))
    return Noise(table, tuple(blocks))


def _azimuth_block(vector: ElementTree.Element) -> AzimuthBlock:
    return AzimuthBlock(
        slice(int(_number(vector, "firstAzimuthLine")), int(_number(vector, "lastAzimuthLine")) + 1),
        slice(int(_number(vector, "firstRangeSample")), int(_number(vector, "lastRangeSample")) + 1),
        _numbers(vector, "line"),
        _numbers(vector, "noiseAzimuthLut"),
    )


def _number(element: ElementTree.Element, tag: str) -> float:
    return float(element.findtext(tag, ""))


def _numbers(element: ElementTree.Element, tag: str) -> Floats:
    return np.array(element.findtext(tag, "").split(), np.float64)


def read_calibration(xml: bytes) -> Lut:
    """The vectors A of sigma0 = DN^2 / A^2 (ESA, Sentinel-1 radiometric calibration)."""
    from xarray_sentinel.sentinel1 import open_calibration_dataset

    table = open_calibration_dataset(_file(xml), attrs={})
    values = table["sigmaNought"].values.astype(np.float64)
    pixels = table["pixel"].values.astype(np.float64)
    return Lut(table["line"].values.astype(np.float64), (pixels,) * len(values), tuple(values))


@dataclass(frozen=True)
class ImageGeometry:
    """Geometry of the image; lines and pixels are counted from the centre of the first pixel."""

    #: lines and pixels of the image
    shape: tuple[int, int]
    first_line: np.datetime64
    line_seconds: float
    pixel_metres: float
    orbit: OrbitPolyfitInterpolator
    #: slant to ground range polynomials along the track
    conversion: xr.Dataset
    #: whether the processor has already subtracted the noise
    denoised: bool

    def locate(self, ecef: Floats) -> tuple[Floats, Floats]:
        """Lines and pixels (H, W) of places (3, H, W) in metres of EPSG:4978.

        Range-Doppler equations (UZH-S1-GC-AD 2019): the zero-Doppler time of a place gives the line. The
        slant range at that time gives the pixel, by the product's own polynomials from slant to ground range.
        """
        import xarray as xr
        from sarsen import geocoding
        from xarray_sentinel import slant_range_time_to_ground_range

        places = xr.DataArray(ecef, {"axis": np.arange(3)}, ("axis", "y", "x"))
        middle = self.first_line + np.timedelta64(int(self.shape[0] / 2 * self.line_seconds * 1e9), "ns")
        guess = xr.full_like(places[0], (middle - self.orbit.epoch) / np.timedelta64(1, "s"))
        # thresholds of 0, for a fixed number of steps; else a result would depend on the other places
        seconds, _, _, (sight, _) = geocoding.newton_raphson_method(
            partial(geocoding.zero_doppler_plane_distance_velocity, places, self.orbit),
            partial(geocoding.zero_doppler_plane_distance_velocity_prime, self.orbit),
            guess,
            diff_ufunc=0.0,
            diff_t=0.0,
            maxiter=NEWTON_STEPS,
        )
        first = (self.first_line - self.orbit.epoch) / np.timedelta64(1, "s")
        lines = (seconds.values - first) / self.line_seconds
        moment = self.orbit.orbit_time_to_azimuth_time(seconds)
        slant = np.sqrt((sight**2).sum("axis"))
        known = self.conversion["azimuth_time"].values
        ground = slant_range_time_to_ground_range(
            moment.clip(known[0], known[-1]), 2 / SPEED_OF_LIGHT * slant, self.conversion
        )
        return lines, np.asarray(ground.transpose("y", "x").values / self.pixel_metres, np.float64)


def read_geometry(xml: bytes) -> ImageGeometry:
    """Image geometry of a product annotation.

    Raises:
        ValueError: the product is not in ground range, or does not have 5 x 1 looks.
    """
    from sarsen.orbit import OrbitPolyfitInterpolator
    from xarray_sentinel.sentinel1 import open_coordinate_conversion_dataset, open_orbit_dataset

    root = ElementTree.parse(BytesIO(xml)).getroot()
    image = root.find(".//imageAnnotation/imageInformation")
    if root.tag != "product" or image is None:
        raise ValueError(f"it is not a product annotation: its root is <{root.tag}>")
    if (kind := root.findtext(".//productInformation/projection")) != "Ground Range":
        raise ValueError(f"the product is in {kind or 'no known projection'}, not in ground range")
    if (looks := _looks(root)) != LOOKS:
        raise ValueError(
            f"the product has {looks[0]} x {looks[1]} looks, IW GRDH has {LOOKS[0]} x {LOOKS[1]}"
        )
    return ImageGeometry(
        shape=(int(_number(image, "numberOfLines")), int(_number(image, "numberOfSamples"))),
        first_line=np.datetime64(image.findtext("productFirstLineUtcTime", ""), "ns"),
        line_seconds=_number(image, "azimuthTimeInterval"),
        pixel_metres=_number(image, "rangePixelSpacing"),
        orbit=OrbitPolyfitInterpolator.from_position(open_orbit_dataset(_file(xml))["position"]),
        conversion=open_coordinate_conversion_dataset(_file(xml), attrs={}),
        denoised=root.findtext(".//thermalNoiseCorrectionPerformed", "false") == "true",
    )


def _looks(root: ElementTree.Element) -> tuple[int, int]:
    """Range and azimuth looks of the first sub-swath, which are those of the product."""
    range_, azimuth = (
        int(root.findtext(f".//swathProcParams/{side}Processing/numberOfLooks", "0"))
        for side in ("range", "azimuth")
    )
    return range_, azimuth


def _file(xml: bytes) -> Any:
    """An open file of these bytes, which xarray-sentinel accepts although its annotations require a path."""
    return BytesIO(xml)
