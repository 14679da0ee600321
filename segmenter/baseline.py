"""Index baseline: water by normalised differences of bands, gated by near infrared, slope and radar.

For comparison, for tests, and for machines without weights. Needs no torch; the thresholds are in the
manifest.

The margin of a cue is the distance of a pixel from its threshold on the side of water, in widths of that cue:

    bright  (MNDWI - at) / width                        (Xu 2006)
    milky   the smaller of the margin of NDWI           (McFeeters 1996)
            and of the margin of MNDWI above its lower threshold for turbid water
    dark    (at - reflectance of the near infrared) / width: excludes snow and ice
    flat    (at - slope) / width: excludes terrain shadow
    calm    (at - VV in dB) / width: excludes rough ground

The margin of a pixel is max(bright, milky), limited by the smallest of dark, flat and calm: the minimum is
the "and" of fuzzy sets (Zadeh 1965). A pixel needs Sentinel-2; without backscatter or elevation, calm or flat
does not limit its margin. The probability is the logistic function of that margin divided by the temperature
of the manifest; at 0.5 lies the shore of an index with hard thresholds.

The uncertainty comes from the thresholds, which vary with light, sediment, wind and kind of backscatter. Each
threshold is shifted by its standard deviation to both sides while the others are fixed; half the differences
of the probability are added in quadrature (law of propagation of uncertainty, JCGM 100:2008, 5.1, with
differences for derivatives). It does not include errors that no threshold can correct, such as ice on a lake.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from segmenter import indices
from segmenter.errors import ManifestError
from segmenter.inputs import check, present
from segmenter.manifest import RADAR_BANDS, Cue, Index, Manifest
from segmenter.protocol import Answer, Pixels, Predicts, TileArrays
from segmenter.sensors import ALL, code_of
from segmenter.sets import choices
from segmenter.windows import halo as halo_of

VV = RADAR_BANDS.index("VV")


@dataclass(frozen=True)
class IndexBaseline(Predicts):
    """Index baseline as a `segmenter.protocol.Segmenter`; can be shared between threads.

    Raises `ManifestError` for the manifest of a network.
    """

    manifest: Manifest

    def __post_init__(self) -> None:
        if self.manifest.index is None:
            raise ManifestError(
                f"model {self.manifest.name}: index: is missing; a network is opened by segmenter.model.load"
            )

    @property
    def index(self) -> Index:
        """Thresholds of the manifest."""
        assert self.manifest.index is not None
        return self.manifest.index

    def predict_all(self, scenes: Iterable[TileArrays]) -> Iterator[Answer]:
        """Probability and uncertainty of each core; see `segmenter.protocol.Predicts.predict_all`.

        Raises `InputError` naming the argument that does not fit.
        """
        return map(self._answer, scenes)

    def _answer(self, scene: TileArrays) -> Answer:
        optical, radar, dem, halo = scene.optical, scene.radar, scene.dem, scene.halo
        check(optical, radar, dem, halo, halo_of(self.manifest), scene.wanted)
        core = (..., slice(halo, dem.shape[0] - halo), slice(halo, dem.shape[1] - halo))
        sources = self._choices[present(optical[core], radar[core], dem[core])]
        if scene.wanted is not None:
            sources *= scene.wanted
        known = sources > 0
        probability, uncertainty = (np.full(known.shape, np.nan, np.float32) for _ in range(2))
        if known.any():
            # flat arrays (n,) of the known pixels only
            green, near_infrared, short_wave = (
                optical[band][core][known]
                for band in (indices.GREEN, indices.NEAR_INFRARED, indices.SHORT_WAVE)
            )
            has = sources[known]
            margins = _Margins(
                self.index,
                indices.mndwi(green, short_wave),
                indices.ndwi(green, near_infrared),
                near_infrared,
                _unless_absent(_slope_of_core(dem, halo)[known], has & code_of(["DEM"]) > 0),
                _unless_absent(radar[VV][core][known], has & code_of(["S1"]) > 0),
            )
            likely = self._logistic(margins.least(), has)
            spread = sum(
                ((self._logistic(above, has) - self._logistic(below, has)) / 2) ** 2
                for above, below in margins.moved()
            )
            probability[known], uncertainty[known] = likely, np.sqrt(spread)
        return Answer(probability, uncertainty, sources)

    @cached_property
    def _choices(self) -> NDArray[np.uint8]:
        return choices([self.manifest])

    def _logistic(self, margin: Pixels, sources: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probability (n,) of margins (n,), calibrated by the sensors of each pixel."""
        temperature, shift = np.ones(ALL + 1), np.zeros(ALL + 1)
        for entry in self.manifest.sets:
            temperature[entry.code], shift[entry.code] = entry.temperature, entry.shift
        result: NDArray[np.float64] = expit((margin + shift[sources]) / temperature[sources])
        return result


class _Margins:
    """Margins of pixels (n,) from each threshold on the side of water, in widths."""

    def __init__(
        self,
        index: Index,
        mndwi: Pixels,
        ndwi: Pixels,
        near_infrared: Pixels,
        slope: Pixels,
        radar: Pixels,
    ) -> None:
        cues = (index.mndwi, index.ndwi, index.turbid, index.near_infrared, index.slope, index.radar)
        self._shifts = [cue.sigma / cue.width for cue in cues]
        self._all = [
            _beyond(mndwi, index.mndwi),
            _beyond(ndwi, index.ndwi),
            _beyond(mndwi, index.turbid),
            -_beyond(near_infrared, index.near_infrared),
            -_beyond(slope, index.slope),
            -_beyond(radar, index.radar),
        ]

    def least(self) -> Pixels:
        """The combined margin."""
        return _least(*self._all)

    def moved(self) -> Iterator[tuple[Pixels, Pixels]]:
        """Combined margins with each threshold in turn shifted by its standard deviation, to both sides."""
        for place, shift in enumerate(self._shifts):
            yield self._with(place, np.float32(shift)), self._with(place, np.float32(-shift))

    def _with(self, place: int, shift: np.float32) -> Pixels:
        others = list(self._all)
        others[place] = others[place] + shift
        return _least(*others)


def _beyond(values: Pixels, cue: Cue) -> Pixels:
    margin: Pixels = (values - np.float32(cue.at)) / np.float32(cue.width)
    return margin


def _least(bright: Pixels, milky: Pixels, turbid: Pixels, dark: Pixels, flat: Pixels, calm: Pixels) -> Pixels:
    wet = np.maximum(bright, np.minimum(milky, turbid))
    allowed: Pixels = np.minimum(np.minimum(dark, flat), calm)
    return np.minimum(wet, allowed)


def _unless_absent(values: Pixels, has: NDArray[np.bool_]) -> Pixels:
    """Values (n,) that have an upper limit; -inf, which no limit excludes, for pixels without them."""
    return np.where(has, values, np.float32(-np.inf))


def _slope_of_core(dem: Pixels, halo: int) -> Pixels:
    """Slope in degrees (H - 2 halo, W - 2 halo), computed with a halo of `indices.REACH` pixels."""
    spare = halo - indices.REACH
    inner = np.s_[spare : dem.shape[0] - spare, spare : dem.shape[1] - spare]
    return indices.slope(dem[inner])[indices.REACH : -indices.REACH, indices.REACH : -indices.REACH]
