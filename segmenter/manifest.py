"""Manifest of a model: everything that must be the same in training and prediction, in one file.

A model is a folder with ``model.safetensors`` (the weights) and ``manifest.json`` (the manifest). A water
index has no weights, only thresholds in its manifest. This module does not import torch, so that planning a
run can read a model's fingerprint quickly.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from segmenter.architecture import PATCH, Architecture
from segmenter.area_factor import AreaFactor
from segmenter.errors import ManifestError, fields_at_fault
from segmenter.sensors import SENSORS, ModalityName, SensorSet, code_of, name_of, sensors_of

__all__ = ["PATCH", "SENSORS", "Architecture", "ModalityName", "SensorSet", "code_of", "name_of"]

MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "model.safetensors"
NO_WEIGHTS = f"sha256:{0:064}"
"""Digest of a manifest without weights: of an index, or before the weights are written."""

OPTICAL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
RADAR_BANDS = ("VV", "VH")
DEM_BANDS = ("DEM",)

S1Kind = Literal["rtc", "grd", "any"]
"""Kind of backscatter: ``rtc``: terrain-corrected gamma nought; ``grd``: sigma nought of ground range;
``any``: either, for an index only."""
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]

_LATER = Field(exclude_if=lambda value: not value)
"""Of a field that older manifests lack: it is written only if it has a value, so that their digests stay."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Modality(_Frozen):
    """Bands of one input in the network's order, with their clipping and standardisation."""

    bands: tuple[str, ...]
    clip: tuple[float, float] | None = None
    """Lowest and highest value, in the input's unit; null: no clipping."""
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]

    @field_validator("clip")
    @classmethod
    def _low_below_high(cls, clip: tuple[float, float] | None) -> tuple[float, float] | None:
        if clip is not None and clip[0] >= clip[1]:
            raise ValueError(f"the low end must be below the high end, got {clip}")
        return clip

    @model_validator(mode="after")
    def _one_statistic_a_band(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != len(self.bands):
                raise ValueError(f"{name}: {len(values)} values for {len(self.bands)} bands")
        if self.clip is not None and not all(self.clip[0] < value < self.clip[1] for value in self.mean):
            raise ValueError(f"mean: must lie inside the clip {self.clip}, got {self.mean}")
        return self


class Radar(Modality):
    """Backscatter in dB. Its kind selects the encoder's embedding."""

    kind: S1Kind


class Steepness(_Frozen):
    """Statistics of the steepness that a network takes in place of the elevation."""

    mean: float
    std: PositiveFloat


class Elevation(Modality):
    """Elevation in metres, or the steepness that is computed from it in each window."""

    steepness: Annotated[Steepness | None, _LATER] = None
    """If given, the network takes the square root of the tangent of the slope (`segmenter.normalise.relief`),
    standardised with these numbers; null: it takes the elevation. A lake is level, whatever its elevation;
    beside mountains, differences of a metre vanish in a standardised elevation."""


class Inputs(_Frozen):
    """The three inputs: reflectance x 10000, backscatter in dB, elevation in metres above EGM2008."""

    S2L2A: Modality
    S1: Radar
    DEM: Elevation

    @field_validator("S2L2A", "S1", "DEM")
    @classmethod
    def _band_order(cls, modality: Modality, info: Any) -> Modality:
        expected = {"S2L2A": OPTICAL_BANDS, "S1": RADAR_BANDS, "DEM": DEM_BANDS}[info.field_name]
        if modality.bands != expected:
            wanted, got = " ".join(expected), " ".join(modality.bands)
            raise ValueError(f"bands: must be {wanted} in this order, got {got}")
        return modality


class Cue(_Frozen):
    """A threshold of an index, in the unit of the thresholded quantity."""

    at: float
    """Value of the threshold."""
    width: PositiveFloat
    """Distance over which the odds of water change by a factor e (at a temperature of 1)."""
    sigma: Annotated[float, Field(ge=0)]
    """Standard deviation of the threshold."""


class Index(_Frozen):
    """Thresholds of the index baseline (`segmenter.baseline`)."""

    mndwi: Cue
    """Lower limit of MNDWI over clear water (0 in Xu 2006)."""
    ndwi: Cue
    """Lower limit of NDWI over turbid water, whose MNDWI is low (0 in McFeeters 1996)."""
    turbid: Cue
    """Lower limit of MNDWI over turbid water."""
    near_infrared: Cue
    """Upper limit of the reflectance x 10000 in band 8; snow and ice exceed it."""
    slope: Cue
    """Upper limit of the slope in degrees; terrain in shadow exceeds it."""
    radar: Cue
    """Upper limit of VV in dB, for either kind of backscatter."""
    red_edge: Annotated[Cue | None, _LATER] = None
    """Upper limit of `segmenter.indices.red_edge`, which snow, ice and bright ground exceed; null in the
    manifests of before."""


class Manifest(_Frozen):
    """Inputs, windows, calibration and provenance of a model."""

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    license: Annotated[str, Field(min_length=1)]
    architecture: Architecture | None = None
    """Null for an index."""
    index: Index | None = None
    """Null for a network."""
    inputs: Inputs
    chip: Annotated[int, Field(gt=0, multiple_of=PATCH)] = 224
    """Edge of the network's windows, px of 10 m."""
    stride: PositiveInt
    """Distance between windows on the global grid, px; at most ``chip``."""
    sigma: PositiveFloat
    """Standard deviation of a window's Gaussian weight, px."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Least probability of a water pixel."""
    temperature: PositiveFloat = 1.0
    """Logits are divided by it before the sigmoid (Guo et al. 2017, temperature scaling)."""
    flips: bool = False
    """Average the logits of a window's four flips (none, vertical, horizontal, both)."""
    passes: Annotated[int, Field(ge=0, le=64)] = 8
    """Passes of the head with dropout, whose spread is part of the uncertainty (Gal and Ghahramani 2016)."""
    dropout: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the head's channels that each of these passes drops."""
    area_factor: AreaFactor = 1.0
    """Factor of the standard deviations of lake areas, fitted on validation seasons so that 95 % intervals
    contain the true area of 95 % of lakes in each class of size: one number, or pairs of a mapped area in m2
    and its factor (`segmenter.area_factor.factor_at`)."""
    fewer: Annotated[tuple[SensorSet, ...], _LATER] = ()
    """Sets of fewer sensors for which the model was validated too, the best first. A pixel that lacks a
    sensor is predicted with the first of them whose sensors it has."""
    digest: Digest
    """SHA-256 of the file of weights; `NO_WEIGHTS` for an index."""
    smallest_lake_m2: Annotated[float, Field(ge=0)]
    """Least area of lakes for which the model was evaluated, m2."""
    training: dict[str, Any] = {}
    """Provenance of the weights: data, seed, steps."""
    scores: dict[str, Any] = {}
    """Measured scores, with the data that they were measured on."""

    @model_validator(mode="after")
    def _network_or_index(self) -> Self:
        if (self.architecture is None) == (self.index is None):
            raise ValueError("architecture: a network has one, an index has `index` in its place")
        if self.index is None and self.inputs.S1.kind == "any":
            raise ValueError("inputs.S1.kind: a network takes the kind it was trained on, 'rtc' or 'grd'")
        if self.index is not None and self.digest != NO_WEIGHTS:
            raise ValueError(f"digest: an index has no weights, so it is {NO_WEIGHTS}")
        return self

    @model_validator(mode="after")
    def _windows_fit(self) -> Self:
        if self.stride > self.chip:
            raise ValueError(f"stride: {self.stride} exceeds chip {self.chip}; windows would leave gaps")
        if self.sigma < self.chip / 16:
            raise ValueError(f"sigma: {self.sigma} is below chip / 16; weights would vanish in corners")
        return self

    @model_validator(mode="after")
    def _sets_of_fewer(self) -> Self:
        codes = [entry.code for entry in self.fewer]
        everything = code_of(self.sensors)
        if len(set(codes)) < len(codes):
            raise ValueError("fewer: names a set of sensors twice")
        for entry in self.fewer:
            if entry.code & ~everything or entry.code == everything:
                raise ValueError(
                    f"fewer: {entry.name} is no smaller set of the model's {name_of(everything)}"
                )
            if self.index is not None and "S2L2A" not in entry.sensors:
                raise ValueError(f"fewer: an index needs S2L2A, {entry.name} has none")
        return self

    @property
    def sensors(self) -> tuple[ModalityName, ...]:
        """All sensors that the model takes."""
        return SENSORS if self.architecture is None else sensors_of(code_of(self.architecture.modalities))

    @property
    def sets(self) -> tuple[SensorSet, ...]:
        """The sets of sensors for which the model was validated: all of its sensors, then `fewer`."""
        everything = SensorSet(
            sensors=self.sensors,
            threshold=self.threshold,
            temperature=self.temperature,
            area_factor=self.area_factor,
            scores=self.scores,
        )
        return (everything, *self.fewer)

    def set_for(self, present: int) -> SensorSet | None:
        """The set with which a pixel is predicted that has the sensors `present` (a code), None if none."""
        return next((entry for entry in self.sets if not entry.code & ~present), None)

    def set_named(self, sensors: Iterable[str]) -> SensorSet:
        """The validated set of exactly these sensors.

        Raises `ManifestError` that names the validated sets, if it is none of them.
        """
        wanted = tuple(sensors)
        for entry in self.sets:
            if set(entry.sensors) == set(wanted):
                return entry
        raise ManifestError(
            f"model {self.name}: was not validated for the sensors {'+'.join(wanted) or 'none'}, only for "
            f"{', '.join(entry.name for entry in self.sets)}; see `fewer` in its {MANIFEST_FILE}"
        )

    @property
    def method(self) -> Literal["network", "index"]:
        """Method of classification: a network with weights, or a water index."""
        return "network" if self.index is None else "index"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that can change a result: digest of the weights, statistics, stride,
        threshold.

        Licence, provenance and scores are not included. It identifies a model.
        """
        decisive = self.model_dump(
            mode="json",
            exclude={"license": True, "training": True, "scores": True, "fewer": {"__all__": {"scores"}}},
        )
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read_manifest(folder: Path | str) -> Manifest:
    """Read the manifest of the model in `folder` and check it, and the digest of its weights if it has any.

    Raises `ManifestError` naming the file and the field.
    """
    path = Path(folder) / MANIFEST_FILE
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}); "
            f"a model is a folder with {MANIFEST_FILE} and {WEIGHTS_FILE}"
        ) from error
    except ValidationError as error:
        raise ManifestError(f"{path}: {fields_at_fault(error)}") from error
    if manifest.method == "index":
        return manifest
    weights = path.with_name(WEIGHTS_FILE)
    try:
        found = digest_of(weights)
    except OSError as error:
        raise ManifestError(
            f"{weights}: cannot be read ({error.strerror}); it belongs beside {path.name}"
        ) from error
    if found != manifest.digest:
        raise ManifestError(
            f"{path}: digest: is {manifest.digest}, but {weights.name} beside it has {found}; "
            "download both files of the model again"
        )
    return manifest


def digest_of(weights: Path) -> str:
    """SHA-256 of a file in the form used in manifests, "sha256:…"."""
    with weights.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
