"""Settings of a workspace: one `monitor.yaml`, checked whole before any work."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from monitor.entries.seasons import (
    FIRST_SEASON,
    ScheduleSettings,
    SeasonWindow,
    Section,
    parse_years,
    season_or_this,
)

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

__all__ = [
    "CONFIG",
    "DATA",
    "FIRST_SEASON",
    "NAMESPACE",
    "RECIPE",
    "SETTINGS_FILE",
    "CatalogSettings",
    "ClusterSettings",
    "DatabaseSettings",
    "Region",
    "RegionSettings",
    "RgiSettings",
    "ScheduleSettings",
    "SeasonWindow",
    "Settings",
    "explain",
    "keys_of_section",
    "parse_years",
    "season_or_this",
]

_PACKAGE = Path(str(files("monitor")))
#: holds config/ and models/: package data of an installation, the repository in a checkout
DATA = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _PACKAGE.parent
CONFIG = DATA / "config"
SETTINGS_FILE = "monitor.yaml"
#: increased when a change of the code changes results: tasks that were done before then are superseded
RECIPE = 5
#: namespace of the uuid5 of every task, survey and lake
NAMESPACE = UUID("5a0f2c1e-9d4b-4c57-8f0e-6f1b2f0d7a11")
#: NSIDC-0770, version 7: RGI 7.0 (doi:10.5067/f6jmovy5navz, CC BY 4.0), behind an Earthdata login
NSIDC_RGI = "https://daacdata.apps.nsidc.org/pub/DATASETS/nsidc0770_rgi_v7"
#: bytes of a region's name
LONGEST_NAME = 100


class RegionSettings(Section):
    """The area of a region, as a box or a polygon file, and the zone around glaciers in which lakes count."""

    bounds: tuple[float, float, float, float] | None = None
    #: any vector file with a CRS; all its polygons together are the region
    outline: str | None = None
    #: file of glacier outlines, such as RGI; without it lakes of the whole region count
    glaciers: str | None = None
    glacier_zone_km: Annotated[float, Field(gt=0, le=1000)] = 10.0
    season: SeasonWindow = SeasonWindow()

    @model_validator(mode="after")
    def _one_shape(self) -> RegionSettings:
        if (self.bounds is None) == (self.outline is None):
            raise ValueError("name either bounds or outline")
        if self.bounds is not None:
            west, south, east, north = self.bounds
            if not (-180 <= west < east <= 180 and -80 <= south < north <= 84):
                raise ValueError(
                    f"bounds {[*self.bounds]} are not west, south, east, north in degrees; the outline of a "
                    "region that crosses 180 degrees is given as a file"
                )
        return self


class CatalogSettings(Section):
    profile: str
    #: a folder of STAC items, or the URL of a STAC API, read instead of the profile's address
    location: str | None = None
    #: hosts, buckets and folders that its items may name besides the catalogue's own: https://HOST, s3://BUCKET
    #: or an absolute folder
    hosts: tuple[str, ...] = ()
    #: item id to the reason why it is not used, for items that stay broken
    exclude: dict[str, str] = Field(default_factory=dict)


class DatabaseSettings(Section):
    #: SQLAlchemy URL of a PostGIS; without it the workspace has a private one
    url: str | None = None


class ClusterSettings(Section):
    """The workers that compute tiles: threads of this process, GPUs, or workers of a Dask scheduler."""

    #: address of a Dask scheduler whose workers compute the tiles
    address: str | None = None
    #: one worker process per GPU of this machine
    gpus: bool = False
    #: tiles that this process, or each worker of a GPU, reads at a time
    threads: Annotated[int, Field(ge=1, le=256)] = 2

    @model_validator(mode="after")
    def _one_place(self) -> ClusterSettings:
        if self.gpus and self.address is not None:
            raise ValueError(
                "name either gpus or address; workers of a scheduler use GPUs if they are started as "
                "`dask cuda worker`"
            )
        return self


class RgiSettings(Section):
    """Where `monitor glaciers fetch` finds the Randolph Glacier Inventory, version 7.0."""

    #: zipped shapefile with the outlines of the first-order regions
    regions: str = f"{NSIDC_RGI}/RGI2000-v7.0-regions.zip"
    #: zipped shapefile of each of them; `{region}` stands for its code, such as 13_central_asia
    outlines: str = f"{NSIDC_RGI}/regional_files/RGI2000-v7.0-G/RGI2000-v7.0-G-{{region}}.zip"

    @model_validator(mode="after")
    def _for_each_region(self) -> RgiSettings:
        if "{region}" not in self.outlines:
            raise ValueError("outlines must hold {region}, in the place of a code such as 13_central_asia")
        return self


class AlertSettings(Section):
    """Alerts of `monitor schedule`. Addresses are secrets; `env:NAME` is that of an environment variable."""

    #: addresses of apprise, such as mailto://, slack:// or json://
    to: tuple[SecretStr, ...] = ()
    #: address that is requested at the start (with /start) and the end of each run
    heartbeat: SecretStr | None = None
    #: most places that wait for a person
    queue: Annotated[int, Field(ge=0)] = 50
    #: days without a new scene, within a season
    quiet_days: Annotated[int, Field(ge=1)] = 12
    #: least free disk, GB
    disk_gb: Annotated[float, Field(ge=0)] = 10.0


def _listed(value: Any) -> list[Any]:
    """One model as a list of one."""
    if isinstance(value, list) and len(set(map(str, value))) < len(value):
        raise ValueError("a model stands twice; an ensemble of equal models has no spread")
    if not isinstance(value, str | list) or not value:
        raise ValueError("must be a name of config/models.yaml, or a folder, or a list of them (an ensemble)")
    return [value] if isinstance(value, str) else value


def _same_letters(name: str) -> str:
    """The one form of a name whose letters Unicode can write in several ways."""
    return unicodedata.normalize("NFC", name)


def _different_names(regions: Any) -> Any:
    """Refuse regions whose files could not be told apart."""
    names: dict[str, str] = {}
    for name in regions if isinstance(regions, dict) else ():
        if (
            isinstance(name, str)
            and (other := names.setdefault(_same_letters(name).casefold(), name)) != name
        ):
            raise ValueError(
                f"the names {other!r} and {name!r} differ in the case of letters only; change one"
            )
    return regions


def _region_name(name: str) -> str:
    """Check the name of a region, which is also a part of file names and the name of a branch of the cube."""
    name = _same_letters(name)
    if not name.strip():
        raise ValueError("a region needs a name")
    forbidden = any(letter in '/\\:*?"<>|' or not letter.isprintable() for letter in name)
    if forbidden or name != name.strip() or name.startswith("."):
        raise ValueError(
            f"{name!r} cannot be the name of a region, because files are named after it: it has no "
            '/ \\ : * ? " < > |, no line breaks, no dot at its beginning, and no space at its ends'
        )
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{name[:20]}… is too long for the name of a region, at most {LONGEST_NAME} bytes")
    return name


class Settings(Section):
    """All settings of a workspace. Paths are relative to the folder of its `monitor.yaml`."""

    catalog: CatalogSettings
    #: names of config/models.yaml or folders; several are an ensemble. One model can be given without a list.
    model: Annotated[tuple[str, ...], BeforeValidator(_listed)]
    regions: Annotated[
        dict[Annotated[str, AfterValidator(_region_name)], RegionSettings], BeforeValidator(_different_names)
    ] = Field(default_factory=dict)
    rgi: RgiSettings = RgiSettings()
    tile_size: Annotated[int, Field(ge=256, le=8192, multiple_of=256)] = 1024
    database: DatabaseSettings = DatabaseSettings()
    cluster: ClusterSettings = ClusterSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    alerts: AlertSettings = AlertSettings()

    def nights(self, *names: str) -> ScheduleSettings:
        """The schedule of regions; months and final days that it lacks follow from the regions' seasons."""
        windows = [self.regions[name].season for name in names]
        return ScheduleSettings.following(windows, **self.schedule.model_dump(exclude_unset=True))


class Region:
    """A named area with its season.

    Attributes:
        outline: EPSG:4326 polygon of the region.
        zone: EPSG:4326 part of it where a lake counts as glacial (all of it without glacier outlines).
        glaciers: EPSG:4326 glacier outlines, None without any.
    """

    def __init__(
        self,
        name: str,
        settings: RegionSettings,
        outline: BaseGeometry,
        zone: BaseGeometry,
        glaciers: BaseGeometry | None = None,
    ) -> None:
        self.name, self.settings, self.outline, self.zone = name, settings, outline, zone
        self.glaciers = glaciers

    @property
    def season(self) -> SeasonWindow:
        return self.settings.season

    def digest(self) -> str:
        """Digest of what decides a result: season window and zone."""
        import shapely

        shape = shapely.to_wkb(shapely.normalize(shapely.set_precision(self.zone, 1e-7)))
        return hashlib.sha256(self.season.model_dump_json().encode() + shape).hexdigest()


def explain(path: Path, error: ValidationError, keys: Callable[[tuple[int | str, ...]], str]) -> str:
    """The errors of a settings file, one line per key; `keys` gives the valid keys of a section."""
    lines = [f"{path} cannot be used:"]
    for problem in error.errors():
        if problem["type"] == "default_factory_not_called":  # it follows from another error
            continue
        where = ".".join(str(part) for part in problem["loc"] if part != "[key]") or "(whole file)"
        hint = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "string_type" and problem["loc"][-1] == "[key]":
            hint = f'quote it: "{problem["loc"][-2]}"'
        if problem["type"] == "extra_forbidden":
            hint = f"no such key; valid keys are {keys(problem['loc'][:-1])}"
        lines.append(f"  {where}: {hint}")
    return "\n".join(lines)


def keys_of_section(where: tuple[int | str, ...]) -> str:
    """The keys of the section at `where`."""
    model: Any = Settings
    if where[:1] == ("regions",):
        model = SeasonWindow if len(where) > 2 else RegionSettings
    elif where:
        model = Settings.model_fields[str(where[0])].annotation
    return ", ".join(model.model_fields)
