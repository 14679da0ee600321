"""A model's manifest: everything that must be the same in training and in prediction, in one file.

A model is a folder with ``model.safetensors`` (the weights) and ``manifest.json`` (this).
An index of bands has no weights, only thresholds in its manifest. Nothing here imports torch, so planning a
run can ask a model's fingerprint cheaply.
"""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from segmenter.errors import ManifestError, fields_at_fault

MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "model.safetensors"
NO_WEIGHTS = f"sha256:{0:064}"
"""Digest of a manifest whose weights are still to be written."""
PATCH = 16
"""Edge of the encoder's patches, px: a chip is a whole number of them."""

OPTICAL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
RADAR_BANDS = ("VV", "VH")
DEM_BANDS = ("DEM",)

S1Kind = Literal["rtc", "grd", "any"]
"""Kind of backscatter: terrain-corrected gamma nought, sigma nought of ground range, or either of them."""
ModalityName = Literal["S2L2A", "S1", "DEM"]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Architecture(_Frozen):
    """The network's shape; ``segmenter.network.build_network`` turns it into a module."""

    backbone: Literal["terramind_v1_tiny", "terramind_v1_small", "terramind_v1_base", "terramind_v1_large"]
    modalities: Annotated[tuple[ModalityName, ...], Field(min_length=1)] = ("S2L2A", "S1", "DEM")
    """Inputs the network takes, in its order; it is shown no other."""
    merge: Literal["mean", "max", "concat"] = "mean"
    """How the tokens of a place become one over the modalities."""
    image_size: Annotated[int, Field(gt=0, multiple_of=PATCH)] = 224
    """Edge of the chips that the position embeddings were made for, px."""
    indices: tuple[int, int, int, int] | None = None
    """Encoder blocks whose tokens the decoder sees, shallow to deep, through terratorch's learned pyramid."""
    necks: tuple[dict[str, JsonValue], ...] | None = None
    """terratorch's necks by name with their options, where it is no such pyramid: in place of `indices`."""
    decoder: Annotated[str, Field(pattern=r"^\w+$")] = "UperNetDecoder"
    """One of terratorch's decoders that leave the head to terratorch."""
    decoder_channels: PositiveInt | tuple[PositiveInt, ...] | None = 256
    """One number, one for each level, or null for a decoder that knows none."""
    decoder_scale_modules: bool = False
    """The decoder has rescaling layers of its own on top of the neck's pyramid (the published model does)."""
    decoder_options: dict[str, JsonValue] = {}
    """More of the decoder's arguments, by terratorch's names."""
    head_channels: tuple[PositiveInt, ...] = ()
    """Channels of the head's convolutions before its last."""

    @field_validator("indices")
    @classmethod
    def _ascending(cls, indices: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if indices is not None and (indices[0] < 0 or any(a >= b for a, b in pairwise(indices))):
            raise ValueError(f"block numbers must ascend from 0 or more, got {indices}")
        return indices

    @field_validator("modalities")
    @classmethod
    def _each_once(cls, modalities: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(modalities)) < len(modalities):
            raise ValueError(f"each modality can be named once, got {' '.join(modalities)}")
        return modalities

    @field_validator("necks")
    @classmethod
    def _named(
        cls, necks: tuple[dict[str, JsonValue], ...] | None
    ) -> tuple[dict[str, JsonValue], ...] | None:
        if necks is not None and not all(isinstance(neck.get("name"), str) for neck in necks):
            raise ValueError("every neck needs its name, such as {name: SelectIndices, indices: [...]}")
        return necks

    @model_validator(mode="after")
    def _one_way_to_the_decoder(self) -> Self:
        if (self.indices is None) == (self.necks is None):
            raise ValueError("indices: name the encoder blocks the decoder sees, or else `necks`")
        return self


class Modality(_Frozen):
    """Bands of one input, in the network's order, with how they are clipped and standardised."""

    bands: tuple[str, ...]
    clip: tuple[float, float] | None = None
    """Lowest and highest value let through, in the input's unit; null lets everything through."""
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
    """Backscatter in dB. Its kind decides which encoder embedding is used, so it is no detail."""

    kind: S1Kind
    """``rtc``: terrain-corrected gamma nought; ``grd``: sigma nought; ``any``: either, for an index only."""


class Inputs(_Frozen):
    """The three inputs: reflectance x 10000, backscatter in dB, elevation in metres above EGM2008."""

    S2L2A: Modality
    S1: Radar
    DEM: Modality

    @field_validator("S2L2A", "S1", "DEM")
    @classmethod
    def _band_order(cls, modality: Modality, info: Any) -> Modality:
        expected = {"S2L2A": OPTICAL_BANDS, "S1": RADAR_BANDS, "DEM": DEM_BANDS}[info.field_name]
        if modality.bands != expected:
            wanted, got = " ".join(expected), " ".join(modality.bands)
            raise ValueError(f"bands: must be {wanted} in this order, got {got}")
        return modality


class Cue(_Frozen):
    """A threshold of an index, in the unit of what it divides."""

    at: float
    """Where it lies."""
    width: PositiveFloat
    """How far beyond it the odds of water are e times as high."""
    sigma: Annotated[float, Field(ge=0)]
    """Standard deviation of where it may lie just as well."""


class Index(_Frozen):
    """Thresholds of the index baseline; `segmenter.baseline` says what becomes of them."""

    mndwi: Cue
    """Water lies above it (Xu 2006 puts it at 0)."""
    ndwi: Cue
    """Turbid water, whose MNDWI is low, lies above it (McFeeters 1996 puts it at 0)."""
    turbid: Cue
    """MNDWI that turbid water exceeds too."""
    near_infrared: Cue
    """Reflectance x 10000 of band 8 that water stays below; snow and ice do not."""
    slope: Cue
    """Degrees that water stays below; shaded ground does not."""
    radar: Cue
    """dB of VV that water stays below, of either kind of backscatter."""


class Manifest(_Frozen):
    """All that a caller must know about a model to feed it and to read its answer."""

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    license: Annotated[str, Field(min_length=1)]
    architecture: Architecture | None = None
    """Of a network; an index has none."""
    index: Index | None = None
    """Of an index; a network has none."""
    inputs: Inputs
    chip: Annotated[int, Field(gt=0, multiple_of=PATCH)] = 224
    """Edge of the windows the network sees, px of 10 m."""
    stride: PositiveInt
    """Distance between windows on the global grid, px; at most ``chip``."""
    sigma: PositiveFloat
    """Standard deviation of a window's Gaussian weight, px."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which a pixel is water."""
    temperature: PositiveFloat = 1.0
    """Logits are divided by it before the sigmoid (Guo et al. 2017, temperature scaling)."""
    flips: bool = False
    """Average the logits of a window's four flips (none, vertical, horizontal, both)."""
    passes: Annotated[int, Field(ge=0, le=64)] = 8
    """Passes of the head with dropout whose spread enters the uncertainty (Gal and Ghahramani 2016)."""
    dropout: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the head's channels that each of these passes leaves out."""
    area_factor: PositiveFloat = 1.0
    """Standard deviations of lakes' areas are multiplied by it: fitted on validation seasons, so that 95 %
    intervals hold the truth in 95 % of lakes."""
    digest: Digest
    """SHA-256 of the weights' file; `NO_WEIGHTS` for an index."""
    smallest_lake_m2: Annotated[float, Field(ge=0)]
    """Lakes below this area are beyond what the model was shown to find, m2."""
    training: dict[str, Any] = {}
    """Where the weights come from: data, seed, steps."""
    scores: dict[str, Any] = {}
    """Measured scores, with what they were measured on."""

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
            raise ValueError(f"stride: {self.stride} exceeds chip {self.chip}, pixels would go unseen")
        if self.sigma < self.chip / 16:
            raise ValueError(f"sigma: {self.sigma} is below chip / 16, weights would vanish in corners")
        return self

    @property
    def method(self) -> Literal["network", "index"]:
        """How pixels are judged: by a network with weights, or by an index of bands."""
        return "network" if self.index is None else "index"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that can change a result: the weights' digest, and also statistics,
        stride, threshold... Provenance and scores do not count. Use it to tell models apart."""
        decisive = self.model_dump(mode="json", exclude={"license", "training", "scores"})
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest of the model in `folder`, checked against itself and against the weights if it has any.

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
            "fetch both files of the model again"
        )
    return manifest


def digest_of(weights: Path) -> str:
    """SHA-256 of a file, written as manifests write it."""
    with weights.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
