"""The doctor's checks of workspace and machine, and the list of all checks."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.doctor.archive import ArchiveChecks
from monitor.doctor.computing import cluster, device
from monitor.doctor.deep import cubes, database_pages
from monitor.doctor.examination import Check, Finding, State
from monitor.doctor.ground import CHECK, model_and_index
from monitor.doctor.offsets import agreement, offset
from monitor.errors import RefusedError
from monitor.plan import season_size
from monitor.progress import readable_bytes
from monitor.settings import SETTINGS_FILE, Region
from monitor.workspace import DATABASE_FOLDER, Workspace

if TYPE_CHECKING:
    from segmenter.manifest import Manifest
    from storage.database import Database

#: memory in bytes of a process that predicts, and per pixel of each tile that is read meanwhile. Measured
#: with the small network at 1024 px: 2.8 GB with one thread, 3.4 GB with two. Larger networks need more.
PROCESS_BYTES, TILE_BYTES = 2.2e9, 600
#: free bytes below which every run fails
LEAST_DISK = 0.5e9


def checks_of(
    folder: Path,
    region: str | None,
    compare: str | None,
    compare_location: str | None,
    *,
    deep: bool = False,
) -> list[list[Check]]:
    """All checks of the workspace in `folder`, in groups that can run in parallel.

    Args:
        deep: also read all that the cube and the database hold.

    Raises:
        RefusedError: there is no region of that name.
    """
    try:
        workspace = Workspace.open(folder)
    except RefusedError as error:
        said = str(error)  # without settings no other check is possible
        return [[Check("settings", lambda: Finding("settings", State.PROBLEM, said), "")]]
    names = [region] if region is not None else sorted(workspace.regions())
    workspace.region_settings(names[0])
    own = WorkspaceChecks(workspace, names)
    archive = ArchiveChecks(workspace, names[0])
    again = "check the machine and the network, then run the doctor again"
    stored = [
        Check("database pages", lambda: database_pages(workspace), again, unlimited=True),
        Check("cube", lambda: cubes(workspace), again, unlimited=True),
    ]
    return [
        *([stored] if deep else []),
        [
            Check("settings", own.settings, again),
            Check("model", own.model, "check that the folder of the model can be read"),
        ],
        [
            Check("catalogue", archive.catalogue, "check that its address can be reached from here"),
            Check(
                "signing",
                archive.signing,
                "check that the catalogue's token service can be reached from here",
            ),
            Check("Sentinel-2 files", archive.optical, "check that its files can be reached from here"),
            Check("Sentinel-1 files", archive.radar, "check that its files can be reached from here"),
            Check("DEM files", archive.dem, "check that its files can be reached from here"),
            Check("offset", lambda: offset(archive), "check that its files can be reached from here"),
            Check(
                "agreement",
                lambda: agreement(archive, compare, compare_location),
                "check that both catalogues can be reached from here",
            ),
        ],
        [
            Check("database", own.database, "check that the server of database.url runs and can be reached"),
            Check(CHECK, lambda: model_and_index(workspace, names), again),
        ],
        [Check("disk", own.disk, again), Check("memory", own.memory, again), Check("GDAL", own.gdal, again)],
        [Check("device", lambda: device(workspace), again)],
        [
            Check(
                "cluster",
                lambda: cluster(workspace),
                "start the Dask scheduler, or leave cluster.address out",
            )
        ],
    ]


@dataclass
class WorkspaceChecks:
    """Checks of settings, model, database and machine; `monitor.doctor.computing` has those of computing."""

    workspace: Workspace
    names: list[str]

    @cached_property
    def regions(self) -> list[Region]:
        return [self.workspace.region(name) for name in self.names]

    def settings(self) -> Finding:
        chosen = self.workspace.settings
        names = ", ".join(region.name for region in self.regions)
        self.workspace.catalog_profile  # noqa: B018 - raises if the profile is wrong
        return Finding(
            "settings",
            State.OK if chosen.regions else State.WARNING,
            f"{self.workspace.folder}: catalogue {chosen.catalog.profile}, "
            f"model {' and '.join(chosen.model)}, tiles of {chosen.tile_size} px, {names}",
            f"name regions in {SETTINGS_FILE}: no command runs all of High Mountain Asia at once",
        )

    def model(self) -> Finding:
        from monitor.models.listing import known_models

        manifest = self.workspace.manifest
        kind = self.workspace.profile.radar_kind
        found = f"{manifest.name} {manifest.version}, weights match the manifest, Sentinel-1 as {kind}"
        if manifest.fewer:
            found += f"; validated for {', '.join(entry.name for entry in manifest.sets)}"
        if manifest.method == "index":
            return Finding(
                "model",
                State.WARNING,
                f"{manifest.name} {manifest.version}: an index of bands, no weights, Sentinel-1 as {kind}",
                "use a model for production, or train one",
            )
        named = known_models().models
        trying = any(name in named and named[name].use == "trying" for name in self.workspace.settings.model)
        found += _against_indices(manifest)
        # with a location, the scenes may be simulated too
        if trying and self.workspace.location is None:
            return Finding(
                "model",
                State.WARNING,
                f"{found}; trained on simulated mountains and a few chips of real coasts, fields and towns",
                "use a model for production, or train one",
            )
        return Finding("model", State.OK, found)

    def database(self) -> Finding:
        from storage.database import Database
        from storage.embedded import EmbeddedPostgis
        from storage.embedded_system import installed
        from storage.errors import StorageError

        url = self.workspace.settings.database.url
        if url is not None:
            database = Database(url)
            database.check_current()
            found = f"{database.shown_url}: {_postgis(database)}, schema up to date"
            database.dispose()
            return Finding("database", State.OK, found)
        folder = self.workspace.folder / DATABASE_FOLDER
        binaries = installed(folder / "data")
        found = f"the workspace's own, PostgreSQL {binaries.major} in {binaries.bin}"
        if not (folder / "data" / "PG_VERSION").exists():
            return Finding("database", State.OK, f"{found}; created by the first command that needs it")
        with EmbeddedPostgis(folder) as own:
            database = Database(own)
            found = f"{found}: {_postgis(database)}"
            try:
                database.check_current()
            except StorageError:
                return Finding("database", State.OK, f"{found}, schema updated by the next command")
            finally:
                database.dispose()
        return Finding("database", State.OK, f"{found}, schema up to date")

    def disk(self) -> Finding:
        season = season_size([region.zone for region in self.regions], self.workspace.settings.tile_size)
        free = shutil.disk_usage(self.workspace.folder).free
        found = f"{readable_bytes(free)} free; a season: {season}"
        if not os.access(self.workspace.folder, os.W_OK):
            return Finding(
                "disk",
                State.PROBLEM,
                f"{self.workspace.folder} cannot be written to",
                "change its owner or mode",
            )
        more = "free some space, or move the workspace"
        if free < LEAST_DISK:
            return Finding("disk", State.PROBLEM, found, more)
        return Finding("disk", State.WARNING if free < season.disk_bytes else State.OK, found, more)

    def memory(self) -> Finding:
        from distributed.system import MEMORY_LIMIT

        threads, size = self.workspace.settings.cluster.threads, self.workspace.settings.tile_size
        need = PROCESS_BYTES + threads * size**2 * TILE_BYTES
        found = (
            f"{readable_bytes(MEMORY_LIMIT)}; {threads} tiles of {size} px at a time need about "
            f"{readable_bytes(need)}"
        )
        fewer = "lower cluster.threads or tile_size"
        return Finding("memory", State.WARNING if need > MEMORY_LIMIT else State.OK, found, fewer)

    def gdal(self) -> Finding:
        import rasterio
        from pyproj import Transformer
        from rasterio.warp import transform

        place = 77.0, 42.5
        (easting,), (northing,) = transform("EPSG:4326", "EPSG:32643", [place[0]], [place[1]])
        wanted = Transformer.from_crs(4326, 32643, always_xy=True).transform(*place)
        versions = f"GDAL {rasterio.__gdal_version__}"
        if max(abs(easting - wanted[0]), abs(northing - wanted[1])) > 1e-3:
            return Finding(
                "GDAL",
                State.PROBLEM,
                f"{versions} transforms {place} to other coordinates than PROJ",
                "unset PROJ_LIB, PROJ_DATA and GDAL_DATA, which point to the files of another installation",
            )
        with rasterio.Env() as env:
            drivers = {"GTiff": "GeoTIFF", "JP2OpenJPEG": "JPEG 2000"}
            readable = [name for driver, name in drivers.items() if driver in env.drivers()]
        set_here = sorted(name for name in os.environ if name.startswith(("GDAL_", "CPL_", "VSI_", "PROJ_")))
        found = f"{versions}, reads {' and '.join(readable)}"
        if set_here:
            found += f"; the environment sets {', '.join(set_here)}"
        lacking = len(readable) < len(drivers)
        return Finding("GDAL", State.WARNING if lacking else State.OK, found, "install rasterio's own wheel")


def _against_indices(manifest: Manifest) -> str:
    """How the model compares with NDWI and MNDWI on real test chips (`training.real_scores`)."""
    scores = manifest.scores.get("real")
    if scores is None:
        return "; not compared with an index on real chips"
    water, dry = scores["own_sensors"]["iou"], scores["own_sensors"]["false_water"]
    return (
        f"; on real test chips as good as NDWI and MNDWI on {water['passed']} of {water['chips']} with "
        f"water, no false water on {dry['passed']} of {dry['chips']} without"
    )


def _postgis(database: Database) -> str:
    from sqlalchemy import func, select

    with database.connect() as conn:
        return f"PostGIS {conn.scalar(select(func.postgis_lib_version()))}"
