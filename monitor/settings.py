"""Settings of a workspace: one `monitor.yaml`, checked whole before any work."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from calendar import monthrange
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from monitor.errors import RefusedError

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_PACKAGE = Path(str(files("monitor")))
#: holds config/ and models/: package data of an installation, the repository in a checkout
DATA = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _PACKAGE.parent
CONFIG = DATA / "config"
SETTINGS_FILE = "monitor.yaml"
#: increased when a change of the code changes results: tasks that were done before then are superseded
RECIPE = 3
#: namespace of the uuid5 of every task, survey and lake
NAMESPACE = UUID("5a0f2c1e-9d4b-4c57-8f0e-6f1b2f0d7a11")
#: NSIDC-0770, version 7: RGI 7.0 (doi:10.5067/f6jmovy5navz, CC BY 4.0), behind an Earthdata login
NSIDC_RGI = "https://daacdata.apps.nsidc.org/pub/DATASETS/nsidc0770_rgi_v7"
#: Sentinel-2 has taken images since then
FIRST_SEASON = 2015
#: bytes of a region's name
LONGEST_NAME = 100
#: days between the last scenes of a season and the final run
FINAL_AFTER = 15


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _month_day(text: str) -> str:
    """Check a day of every year, `MM-DD`."""
    first, last = int(text[:2]), int(text[3:])
    try:
        date(2023, first, last)  # not a leap year: 29 February is refused, because most years lack it
    except ValueError as error:
        swapped = 1 <= last <= 12 < first <= 31
        hint = f"; the month comes first: {text[3:]}-{text[:2]}" if swapped else ""
        raise ValueError(f"{text} is not a day of every year, month and day{hint}") from error
    return text


MonthDay = Annotated[str, Field(pattern=r"^\d\d-\d\d$"), AfterValidator(_month_day)]


def _month_later(day: str) -> str:
    """The same day of the next month, its last day for the last day of a month; not after 31 December."""
    month, number = int(day[:2]), int(day[3:])
    if month == 12:
        return "12-31"
    last = monthrange(2023, month + 1)[1]
    return f"{month + 1:02d}-{last if number == monthrange(2023, month)[1] else min(number, last):02d}"


class SeasonWindow(_Section):
    """Days of the year that count as late summer, `MM-DD`, both included, within one calendar year."""

    start: MonthDay = "07-01"
    end: MonthDay = "09-30"
    #: last day of the dates that are used where no date up to `end` is clear; a month after `end` by default
    late: MonthDay = Field(default_factory=lambda given: _month_later(given.get("end", "09-30")))

    def dates(self, year: int) -> tuple[date, date]:
        """First and last day in `year`."""
        return date.fromisoformat(f"{year}-{self.start}"), date.fromisoformat(f"{year}-{self.end}")

    def reserve(self, year: int) -> date:
        """Last day in `year` whose scenes can be used."""
        return date.fromisoformat(f"{year}-{self.late}")

    @model_validator(mode="after")
    def _forwards(self) -> SeasonWindow:
        if self.start > self.end:
            raise ValueError(
                f"season starts {self.start} after it ends {self.end}; a season lies within one calendar "
                f"year, so one that begins before New Year is cut: 01-01 to {self.end}"
            )
        if self.late < self.end:
            raise ValueError(f"late, {self.late}, lies before the season's end, {self.end}")
        return self


class RegionSettings(_Section):
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
                raise ValueError(f"bounds {[*self.bounds]} are not west, south, east, north in degrees")
        return self


class CatalogSettings(_Section):
    profile: str
    #: a folder of STAC items, or the URL of a STAC API, read instead of the profile's address
    location: str | None = None
    #: item id to the reason why it is not used, for items that stay broken
    exclude: dict[str, str] = {}


class DatabaseSettings(_Section):
    #: SQLAlchemy URL of a PostGIS; without it the workspace has a private one
    url: str | None = None


class ClusterSettings(_Section):
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


def _one_or_more(value: Any) -> Any:
    """One value as a list of one."""
    return [value] if isinstance(value, str) else value


def _months(text: str) -> str:
    """Check months such as `7-10`, `11-3` (over New Year) or `1-4,7-10`."""
    if not all(1 <= int(month) <= 12 for month in re.findall(r"\d+", text)):
        raise ValueError(f"{text}: months are numbers from 1 to 12")
    return text


class ScheduleSettings(_Section):
    """When `monitor schedule` runs: hour of the local day, months of the year.

    Months and final days that are not given follow from the seasons of the regions.
    """

    nightly_hour: Annotated[int, Field(ge=0, le=23)] = 2
    #: one or more ranges; a range such as 11-3 continues over New Year
    months: Annotated[str, Field(pattern=r"^\d\d?(-\d\d?)?(,\d\d?(-\d\d?)?)*$"), AfterValidator(_months)] = (
        "7-10"
    )
    #: days of the last runs of a season, MM-DD, after late and reprocessed scenes have arrived
    final: Annotated[tuple[MonthDay, ...], BeforeValidator(_one_or_more)] = ("11-15",)

    @property
    def month_numbers(self) -> list[int]:
        """The months, sorted."""
        found: set[int] = set()
        for part in self.months.split(","):
            first, _, last = part.partition("-")
            count = (int(last or first) - int(first)) % 12 + 1
            found |= {(int(first) - 1 + number) % 12 + 1 for number in range(count)}
        return sorted(found)

    @property
    def cron_months(self) -> str:
        """The months for cron, whose ranges do not continue over New Year."""
        return ",".join(map(str, self.month_numbers))

    @classmethod
    def following(cls, windows: Iterable[SeasonWindow], **given: Any) -> ScheduleSettings:
        """Settings whose months and final days follow from seasons, except what is given."""
        windows = list(windows)
        months = dict.fromkeys(f"{int(window.start[:2])}-{int(window.late[:2])}" for window in windows)
        finals = dict.fromkeys(
            f"{window.reserve(2023) + timedelta(days=FINAL_AFTER):%m-%d}" for window in windows
        )
        return cls.model_validate({"months": ",".join(months), "final": list(finals), **given})


class RgiSettings(_Section):
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


def _listed(value: Any) -> list[Any]:
    """One model as a list of one."""
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


class Settings(_Section):
    """All settings of a workspace. Paths are relative to the folder of its `monitor.yaml`."""

    catalog: CatalogSettings
    #: names of config/models.yaml or folders; several are an ensemble. One model can be given without a list.
    model: Annotated[tuple[str, ...], BeforeValidator(_listed)]
    regions: Annotated[
        dict[Annotated[str, AfterValidator(_region_name)], RegionSettings], BeforeValidator(_different_names)
    ] = {}
    rgi: RgiSettings = RgiSettings()
    tile_size: Annotated[int, Field(ge=256, le=8192, multiple_of=256)] = 1024
    database: DatabaseSettings = DatabaseSettings()
    cluster: ClusterSettings = ClusterSettings()
    schedule: ScheduleSettings = ScheduleSettings()

    @property
    def nights(self) -> ScheduleSettings:
        """The schedule, with months and final days after the regions' seasons where it gives none."""
        if not self.regions:
            return self.schedule
        windows = [region.season for region in self.regions.values()]
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


def parse_years(text: str) -> list[int]:
    """`2021-2023` or `2021` as a list of seasons that can be mapped.

    Raises:
        RefusedError: not years, backwards, before Sentinel-2, or after this year.
    """
    years = re.fullmatch("([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
    if years is None:
        raise RefusedError(f"{text!r} is not a year or a range of years such as 2017-2023")
    start, end = int(years[1]), int(years[2] or years[1])
    if start > end:
        raise RefusedError(f"the years {text} run backwards; write {end}-{start}")
    this_year = date.today().year
    if start < FIRST_SEASON or end > this_year:
        raise RefusedError(
            f"{text}: seasons are years from {FIRST_SEASON}, the first with images of Sentinel-2, "
            f"to {this_year}; later ones have not begun"
        )
    return list(range(start, end + 1))


def season_or_this(season: int | None) -> int:
    """A season that can be mapped; this year's if None is given.

    Raises:
        RefusedError: before Sentinel-2, or after this year.
    """
    (year,) = parse_years(str(date.today().year if season is None else season))
    return year


def explain(path: Path, error: ValidationError, keys: Callable[[tuple[int | str, ...]], str]) -> str:
    """The errors of a settings file, one line per key; `keys` gives the valid keys of a section."""
    lines = [f"{path} cannot be used:"]
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"] if part != "[key]") or "(whole file)"
        hint = problem["msg"]
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
