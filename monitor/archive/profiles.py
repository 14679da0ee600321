"""Catalogue profiles: the collections, assets and conventions of one catalogue, in one YAML file.

The position of a file is taken from its own georeference, never from `proj:*` of its item, which is wrong in
some catalogues (made-up transforms of Sentinel-1 ground range, outdated ones of reprocessed files).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from monitor.archive.addresses import location_of, source_of
from monitor.entries.yaml_files import read_yaml
from monitor.errors import RefusedError, unknown
from monitor.settings import CONFIG

S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
S1_BANDS: tuple[Literal["VV"], Literal["VH"]] = ("VV", "VH")
PROFILES = CONFIG / "catalogs"
RadarKind = Literal["rtc", "grd"]
NOTES = ("product", "calibration", "noise")


class _Profile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OpticalProfile(_Profile):
    """Sentinel-2 L2A of a catalogue."""

    collection: str
    #: how the offset of a scene (ESA's +1000) is decided, see `monitor.archive.conventions`
    offset: Literal["baseline", "flag", "declared", "none"]
    #: property that holds ESA's processing baseline
    baseline: str = "s2:processing_baseline"
    #: property that is true where the catalogue has taken the 1000 out; needed by `offset: flag`
    flag: str | None = None
    #: asset of the scene classification; null where the catalogue has none
    scene_classes: str | None
    #: band name to asset key, or "asset.N" for the N-th band of a file
    bands: dict[str, str]
    #: type of the digital numbers; a file of another type is refused
    dtype: str
    nodata: float

    @model_validator(mode="after")
    def _all_bands(self) -> OpticalProfile:
        if missing := [band for band in S2_BANDS if band not in self.bands]:
            raise ValueError(f"bands lacks {', '.join(missing)}")
        if unknown := sorted(set(self.bands) - set(S2_BANDS)):
            raise ValueError(f"bands has {', '.join(unknown)}; valid are {', '.join(S2_BANDS)}")
        return self

    @model_validator(mode="after")
    def _flag_is_named(self) -> OpticalProfile:
        if (self.offset == "flag") != (self.flag is not None):
            raise ValueError("`offset: flag` and the property `flag` belong together")
        return self


class RadarProfile(_Profile):
    """One kind of Sentinel-1: terrain-corrected gamma0 (`rtc`) or ground range (`grd`)."""

    collection: str
    unit: Literal["power", "decibel", "counts"]
    bands: dict[Literal["VV", "VH"], str]
    nodata: float
    #: assets of the annotations that ground range needs, with `{}` for the polarisation in lower case
    annotations: dict[Literal["product", "calibration", "noise"], str] = {}

    @model_validator(mode="after")
    def _both(self) -> RadarProfile:
        if missing := [band for band in S1_BANDS if band not in self.bands]:
            raise ValueError(f"bands lacks {', '.join(missing)}")
        return self


class DemProfile(_Profile):
    """Elevation in metres above EGM2008."""

    collection: str
    band: str
    nodata: float | None = None


class CatalogProfile(_Profile):
    """One catalogue; read from `config/catalogs/NAME.yaml`."""

    #: address of its STAC API; null where the settings must name a location
    url: str | None = None
    signing: Literal["none", "planetary-computer"] = "none"
    #: largest number of files that one process reads at a time
    connections: Annotated[int, Field(ge=1, le=64)] = 8
    #: hosts and buckets of its files besides the host of its API: https://HOST, s3://BUCKET
    hosts: tuple[str, ...] = ()
    #: GDAL drivers that open its files
    drivers: Annotated[tuple[str, ...], Field(min_length=1)] = ("GTiff", "JP2OpenJPEG")
    #: GDAL options for its files, such as AWS_REQUEST_PAYER
    gdal: dict[str, str] = {}
    optical: OpticalProfile
    radars: dict[RadarKind, RadarProfile]
    dem: DemProfile
    _sources: tuple[str, ...] | None = PrivateAttr(None)

    @field_validator("hosts")
    @classmethod
    def _places(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(source_of(host) for host in hosts)

    @model_validator(mode="after")
    def _annotated(self) -> CatalogProfile:
        grd = self.radars.get("grd")
        if grd and (missing := [note for note in NOTES if note not in grd.annotations]):
            raise ValueError(f"radars.grd.annotations lacks {', '.join(missing)}: its pixels need them")
        return self

    def at(self, location: Path | str | None, hosts: Iterable[str] = ()) -> CatalogProfile:
        """This profile for a catalogue, whose files are read from its known places only.

        Args:
            location: a folder, or the URL of an API; None: the profile's own API.
            hosts: further places, as returned by `source_of`.
        """
        own = [location_of(place) for place in (location or self.url,) if place]
        profile = self.model_copy()
        profile._sources = (*own, *self.hosts, *hosts)
        return profile

    @property
    def sources(self) -> tuple[str, ...] | None:
        """Places that files are read from, set by `at`; None: addresses are the caller's and not checked."""
        return self._sources

    def serving(self, kind: RadarKind | Literal["any"]) -> CatalogProfile:
        """This profile with only the kind of radar that a model expects; `any` prefers terrain-corrected.

        Raises:
            RefusedError: the catalogue does not have that kind.
        """
        if kind == "any":
            kind = "rtc" if "rtc" in self.radars else "grd"
        if kind not in self.radars:
            served = ", ".join(self.radars) or "none"
            raise RefusedError(
                f"catalog.profile: the model expects Sentinel-1 as {kind}, this catalogue serves {served}; "
                "choose another model or another catalogue"
            )
        return self.model_copy(update={"radars": {kind: self.radars[kind]}})

    def assets(self, collection: str) -> tuple[str, ...]:
        """Keys of the assets of a collection whose files are read."""
        keys: list[str] = []
        if collection == self.optical.collection:
            keys += [*self.optical.bands.values(), *filter(None, [self.optical.scene_classes])]
        for radar in self.radars.values():
            if collection == radar.collection:
                notes = (key.format(band.lower()) for key in radar.annotations.values() for band in S1_BANDS)
                keys += [*radar.bands.values(), *notes]
        if collection == self.dem.collection:
            keys.append(self.dem.band)
        return tuple(dict.fromkeys(key.split(".", maxsplit=1)[0] for key in keys))

    def deciding(self) -> str:
        """The fields on which results depend, as JSON: all but address, signing and speed of access."""
        return self.model_dump_json(exclude={"url", "signing", "connections", "gdal", "hosts", "drivers"})

    @property
    def radar_kind(self) -> RadarKind:
        """The kind of radar of a profile made by `serving`."""
        (kind,) = self.radars
        return kind

    @property
    def radar(self) -> RadarProfile:
        """The radar of a profile made by `serving`."""
        return self.radars[self.radar_kind]


def read_profile(name: str, base: Path) -> CatalogProfile:
    """The profile called `name` in config/catalogs, or the YAML file of that path (relative to `base`).

    Raises:
        RefusedError: there is no such profile, or a key in it is wrong.
    """
    path = PROFILES / f"{name}.yaml"
    if not path.exists():
        path = base / name
    if not path.is_file():
        raise unknown("catalogue profile", name, (file.stem for file in PROFILES.glob("*.yaml")))
    try:
        return CatalogProfile.model_validate(read_yaml(path))
    except ValidationError as error:
        raise RefusedError(f"{path}: {error}") from error
