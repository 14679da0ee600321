"""A workspace: a folder with its settings, and the catalogue, model, regions and stores of these settings."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from monitor.archive.addresses import source_of
from monitor.archive.catalog import Catalog, open_catalog
from monitor.archive.items import local_href
from monitor.archive.profiles import CatalogProfile, read_profile
from monitor.archive.sensors import sets_of
from monitor.entries.yaml_files import read_yaml
from monitor.errors import RefusedError, unknown
from monitor.settings import (
    CONFIG,
    RECIPE,
    SETTINGS_FILE,
    Region,
    RegionSettings,
    Settings,
    explain,
    keys_of_section,
)

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from segmenter.manifest import Manifest
    from storage.codes import SurveyKind
    from storage.cube import Cube
    from storage.database import Database

DATABASE_FOLDER = "postgis"

_log = logging.getLogger(__name__)


class Workspace:
    """A folder with its settings. Catalogue, model and regions are opened when they are first used."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self._regions: dict[str, Region] = {}

    @classmethod
    def open(cls, folder: Path) -> Workspace:
        """Read `folder`/monitor.yaml.

        Raises:
            RefusedError: no such file, or an invalid key (names the file, the key and valid values).
        """
        folder = folder.resolve()
        path = folder / SETTINGS_FILE
        if not path.is_file():
            raise RefusedError(
                f"{path} is missing: a workspace is a folder with a {SETTINGS_FILE}; "
                "`monitor init FOLDER` creates a new one, `monitor demo` a simulated one"
            )
        try:
            return cls(folder, Settings.model_validate(read_yaml(path) or {}))
        except ValidationError as error:
            raise RefusedError(explain(path, error, keys_of_section)) from error

    def path(self, name: str) -> Path:
        """Absolute path of a path in the settings, which is relative to the workspace."""
        return (self.folder / name).resolve()

    def cube_of(
        self,
        kind: SurveyKind,
        region: str | None = None,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Cube:
        """The cube with a region's layers of surveys of a kind; those of an index have a separate cube.

        Args:
            alone: held during commits.
        """
        from storage.cube import Cube

        return Cube(self.cube_folder(kind), self.settings.tile_size, region, alone)

    def cube_folder(self, kind: SurveyKind) -> Path:
        """Folder of the cube of surveys of a kind."""
        from storage.codes import SurveyKind

        return self.folder / ("cube-index" if kind == SurveyKind.INDEX else "cube")

    @property
    def database_folder(self) -> Path:
        """Folder of the workspace's own PostGIS, which is used unless the settings name another."""
        return self.folder / DATABASE_FOLDER

    @cached_property
    def catalog_profile(self) -> CatalogProfile:
        """The catalogue's profile, with all kinds of radar that the catalogue has."""
        chosen = self.settings.catalog
        try:
            hosts = [source_of(host) for host in chosen.hosts]
        except ValueError as error:
            raise RefusedError(f"catalog.hosts: {error}") from error
        return read_profile(chosen.profile, self.folder).at(self.location, hosts)

    @cached_property
    def profile(self) -> CatalogProfile:
        """The catalogue's profile, with only the kind of radar that the model expects."""
        return self.catalog_profile.serving(self.manifest.inputs.S1.kind)

    @property
    def location(self) -> Path | str | None:
        """Location of the catalogue, if it is not the profile's address: a folder, or the URL of an API."""
        location = self.settings.catalog.location
        if not location or location.lower().startswith(("http://", "https://")):
            return location
        return self.path(local_href(location, self.folder / SETTINGS_FILE))

    @cached_property
    def catalog(self) -> Catalog:
        return open_catalog(self.catalog_profile, self.location)

    @property
    def excluded(self) -> dict[str, str]:
        """Items that the user excluded, with the reasons."""
        return self.settings.catalog.exclude

    @cached_property
    def model_folders(self) -> tuple[Path, ...]:
        """Folder of the model, or of each model of an ensemble."""
        return tuple(model_folder(self, name) for name in self.settings.model)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the model or the ensemble, checked against the weights."""
        from segmenter.opening import read_manifests

        return read_manifests(self.model_folders)

    @property
    def sets(self) -> tuple[int, ...]:
        """Codes of the sets of sensors for which the workspace's model was validated, the best first."""
        return sets_of(self.manifest)

    @property
    def survey_kind(self) -> SurveyKind:
        """Kind of the surveys made with the workspace's model."""
        from storage.codes import SurveyKind

        return SurveyKind.INDEX if self.manifest.method == "index" else SurveyKind.MODEL

    def regions(self) -> dict[str, RegionSettings]:
        """The regions of the settings, else the sub-regions of High Mountain Asia."""
        if self.settings.regions:
            return self.settings.regions
        content = read_yaml(CONFIG / "regions.yaml")
        return {name: RegionSettings.model_validate(entry) for name, entry in content.items()}

    def region_names(self, requested: str | None) -> list[str]:
        """The names of the regions of a run.

        Args:
            requested: one region; None for all regions of the settings.

        Raises:
            RefusedError: no such region; or None is given and the settings have no regions.
        """
        if requested is not None:
            self.region(requested)
            return [requested]
        if not self.settings.regions:
            raise RefusedError(
                f"{self.folder / SETTINGS_FILE} names no regions, and nothing runs all of High Mountain Asia "
                "at once. Name regions in it, or choose one with --region. A season of each:\n"
                + "\n".join(self._sizes())
            )
        return sorted(self.settings.regions)

    def _sizes(self) -> Iterator[str]:
        """Each known region with the size of a season."""
        from monitor.plan import season_size

        for name in sorted(self.regions()):
            yield f"  {name}: {season_size([self.outline(name)], self.settings.tile_size)}"

    def region_settings(self, name: str) -> RegionSettings:
        """The settings of the region called `name`.

        Raises:
            RefusedError: no such region.
        """
        regions = self.regions()
        if name not in regions:
            raise unknown("region", name, regions)
        return regions[name]

    def refuse_future(self, names: Iterable[str], years: Iterable[int]) -> None:
        """Check that seasons have begun: before, nothing is observed, and every lake would be recorded so.

        Raises:
            RefusedError: a season of a region begins after today.
        """
        today, latest = date.today(), max(years)
        for name in names:
            begins = self.region_settings(name).season.dates(latest)[0]
            if begins > today:
                raise RefusedError(
                    f"the season {latest} of {name} begins on {begins}; the latest that has begun is "
                    f"{latest - 1}"
                )

    def outline(self, name: str) -> BaseGeometry:
        """The outline (EPSG:4326) of the region called `name`.

        Raises:
            RefusedError: no such region, or a file without polygons or CRS.
        """
        import shapely

        from monitor.grid import HALF_TURN, split_at_180
        from monitor.vectors.polygons import read_polygons

        settings = self.region_settings(name)
        if settings.bounds is not None:
            return shapely.box(*settings.bounds)
        frame = read_polygons(self.path(settings.outline or ""), f"regions.{name}.outline")
        for row, why in {**frame.repairs, **frame.left_out}.items():
            done = "repaired" if row in frame.repairs else "left out"
            _log.warning(f"regions.{name}.outline: row {row} of {settings.outline} is {done}: {why}")
        outline = split_at_180(frame.geometry.union_all())
        if any(part.bounds[2] - part.bounds[0] > HALF_TURN for part in shapely.get_parts(outline)):
            raise RefusedError(
                f"regions.{name}.outline: {settings.outline} has a polygon of more than half the globe; "
                "cut polygons at 180 degrees"
            )
        return outline

    def region(self, name: str) -> Region:
        """The region called `name`, with its outline and glacier zone; its files are read once.

        Raises:
            RefusedError: no such region, or a file without polygons or CRS.
        """
        if name not in self._regions:
            self._regions[name] = self.region_of(name, self.region_settings(name), self.outline(name))
        return self._regions[name]

    def region_of(self, name: str, settings: RegionSettings, outline: BaseGeometry) -> Region:
        """A region from its settings and outline (EPSG:4326).

        Raises:
            RefusedError: its file of glaciers is missing, cannot be read, or has none near the region.
        """
        from monitor.grid import grown, split_at_180
        from monitor.vectors.polygons import read_polygons

        if settings.glaciers is None:
            return Region(name, settings, outline, outline)
        path = self.path(settings.glaciers)
        if not path.exists():
            raise RefusedError(
                f"regions.{name}.glaciers: there is no file {path}; `monitor glaciers fetch {name}` "
                "downloads the outlines of RGI 7.0 to it"
            )
        frame = read_polygons(path, f"regions.{name}.glaciers")
        glaciers = split_at_180(frame.geometry.union_all())
        zone = grown(glaciers, settings.glacier_zone_km * 1000).intersection(outline)
        if zone.is_empty:
            raise RefusedError(
                f"regions.{name}.glaciers: {settings.glaciers} has no glacier within "
                f"{settings.glacier_zone_km:g} km of the region; without this key, lakes are "
                "mapped in the whole region"
            )
        return Region(name, settings, outline, zone, glaciers)


def config_digest(region: Region, profile: CatalogProfile) -> str:
    """Digest of the settings that determine a task's result: recipe, region, season, catalogue profile."""
    text = f"{RECIPE}|{region.digest()}|{profile.deciding()}"
    return hashlib.sha256(text.encode()).hexdigest()


def model_folder(workspace: Workspace, name: str) -> Path:
    """The folder of a model of the settings.

    Args:
        name: a model of config/models.yaml, or a folder.

    Raises:
        RefusedError: it is neither.
    """
    from monitor.models.listing import known_models, root_of

    registry = known_models()
    if name in registry.models:
        return registry.folder(name, root_of(registry, name))
    folder = workspace.path(name)
    if not folder.is_dir():
        known = ", ".join(sorted(registry.models))
        raise RefusedError(
            f"{workspace.folder / SETTINGS_FILE}: model: {name!r} is neither a known model ({known}) "
            "nor a folder"
        )
    return folder


@dataclass
class System:
    """A workspace with its open database and cube."""

    workspace: Workspace
    database: Database

    def cube(self, region: str) -> Cube:
        """The cube of a region's surveys made with the workspace's model.

        One process at a time commits to it, on any machine that uses the database.
        """
        return self.cube_of(self.workspace.survey_kind, region)

    def cube_of(self, kind: SurveyKind, region: str | None = None) -> Cube:
        """The cube of surveys of a kind; commits as those of `cube`."""
        return self.workspace.cube_of(kind, region, partial(self.database.alone, "lake cube"))


@contextmanager
def open_database(workspace: Workspace) -> Iterator[Database]:
    """Open the PostGIS of the settings and check its schema, or open the workspace's own and upgrade it.

    Raises:
        RefusedError: there is no PostGIS, it does not answer, or its schema is of another version.
    """
    from storage.errors import StorageError

    with ExitStack() as stack:
        try:
            database = _connect(workspace, stack)
        except StorageError as error:
            raise RefusedError(str(error)) from error
        yield database


def database_of(workspace: Workspace, stack: ExitStack) -> Database:
    """The database of the settings or the workspace's own one, whatever it holds; `stack` closes it."""
    from storage.database import Database
    from storage.embedded import EmbeddedPostgis

    url = workspace.settings.database.url
    server = EmbeddedPostgis(workspace.database_folder)
    database = Database(stack.enter_context(server) if url is None else url)
    stack.callback(database.dispose)
    return database


def _connect(workspace: Workspace, stack: ExitStack) -> Database:
    database = database_of(workspace, stack)
    if workspace.settings.database.url is None:
        database.upgrade()
    else:
        database.check_current()
    return database


@contextmanager
def open_system(workspace: Workspace) -> Iterator[System]:
    """Open a workspace with its database; the cube is opened when it is first used."""
    with open_database(workspace) as database:
        yield System(workspace, database)
