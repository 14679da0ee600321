"""Glacier outlines of the Randolph Glacier Inventory, version 7.0, for a region of a workspace.

RGI 7.0 Consortium (2023), NSIDC-0770, doi:10.5067/f6jmovy5navz, CC BY 4.0. NSIDC serves a zipped shapefile
for each first-order region, behind an Earthdata login.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import geopandas
import pandas as pd
import requests
import shapely
from pyogrio.errors import DataSourceError  # type: ignore[import-untyped]
from shapely.errors import ShapelyError

from monitor.archive.retries import TIMEOUT, TRANSIENT, TRIES, pause
from monitor.errors import MonitorError, RefusedError
from monitor.grid import grown
from monitor.progress import SILENT, Progress
from monitor.settings import SETTINGS_FILE
from monitor.vectors.files import PARQUET
from monitor.vectors.replacing import refuse_open
from monitor.workspace import Workspace

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

#: folder of a workspace with the outlines of its regions; the downloads are below it
FOLDER, DOWNLOADS = "glaciers", "rgi7"
#: the last first-order region that has a file; the mainland of Antarctica has none
LAST_REGION = 19
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Fetched:
    """Outlines that were written, and the setting that uses them.

    Attributes:
        glaciers: number of outlines.
        rgi_regions: first-order regions that they come from, such as `13_central_asia`.
        settings: lines of YAML to add to monitor.yaml; empty where it names the file already.
    """

    region: str
    file: Path
    glaciers: int
    rgi_regions: tuple[str, ...]
    settings: str


def fetch_glaciers(
    workspace: Workspace, name: str, *, force: bool = False, progress: Progress = SILENT
) -> Fetched:
    """Download RGI's files for the first-order regions that a region touches; write the outlines near it.

    The file is the one that `regions.NAME.glaciers` names, else `glaciers/NAME.gpkg` in the workspace. It
    holds, whole, every glacier within `glacier_zone_km` of the region, in EPSG:4326 with all columns of RGI
    7.0. A zip file that lies in `glaciers/rgi7` already is not downloaded again.

    Raises:
        RefusedError: no such region, the file exists and `force` is not given, it is neither a GeoPackage nor
            GeoParquet, or there is no glacier.
        MonitorError: a file cannot be downloaded, read or written.
    """
    settings = workspace.region_settings(name)
    file = workspace.path(settings.glaciers or f"{FOLDER}/{name}.gpkg")
    if file.suffix.lower() not in (".gpkg", *PARQUET):
        raise RefusedError(
            f"regions.{name}.glaciers: {file} is neither a GeoPackage nor GeoParquet; name a file that ends "
            "in .gpkg, .parquet or .geoparquet"
        )
    if file.exists() and not force:
        raise RefusedError(f"{file} exists already; --force replaces it")
    near = grown(workspace.outline(name), settings.glacier_zone_km * 1000)
    archive = Archive(workspace.folder / FOLDER / DOWNLOADS, progress)
    source = workspace.settings.rgi
    codes = touched(archive.get(source.regions), near)
    parts = [outlines_near(archive.get(source.outlines.format(region=code)), near) for code in codes]
    found = [part for part in parts if len(part)]
    if not found:
        raise RefusedError(
            f"RGI 7.0 has no glacier within {settings.glacier_zone_km:g} km of the region {name}; check its "
            f"bounds or outline in {workspace.folder / SETTINGS_FILE}"
        )
    glaciers = geopandas.GeoDataFrame(pd.concat(found, ignore_index=True), crs=4326)
    with progress.stage(f"writing {file.name}"):
        write(glaciers, file)
    return Fetched(name, file, len(glaciers), tuple(codes), _lines(workspace, name, file))


def touched(regions: Path, area: BaseGeometry) -> list[str]:
    """Codes of the first-order regions that touch `area` (EPSG:4326), from RGI's file of their outlines."""
    frame = _read(regions, "o1regions.shp", area)
    frame = frame[frame["o1region"].astype(int) <= LAST_REGION]
    return sorted(set(frame["long_code"]))


def outlines_near(archive: Path, area: BaseGeometry) -> geopandas.GeoDataFrame:
    """Glaciers of one first-order region that touch `area` (EPSG:4326), whole and without a Z coordinate."""
    frame = _read(archive, ".shp", area)
    return frame.set_geometry(shapely.force_2d(frame.geometry.array))


def _read(archive: Path, ending: str, area: BaseGeometry) -> geopandas.GeoDataFrame:
    """The features of a zipped shapefile, whose name ends in `ending`, that touch `area`, in EPSG:4326."""
    with zipfile.ZipFile(archive) as files:
        member = next((name for name in files.namelist() if name.endswith(ending)), None)
    if member is None:
        raise MonitorError(f"{archive} holds no *{ending}: remove it and run the same command again")
    try:
        frame = geopandas.read_file(f"/vsizip/{archive}/{member}", bbox=geopandas.GeoSeries([area], crs=4326))
    except (RuntimeError, ValueError, OSError, ShapelyError) as error:
        raise MonitorError(
            f"{archive} cannot be read: {error}. Remove it and run the same command again"
        ) from error
    frame = frame.to_crs(4326)
    return frame[frame.intersects(area)]


def write(frame: geopandas.GeoDataFrame, file: Path) -> None:
    """Write a GeoPackage or GeoParquet in the place of `file`, which stays whole until the new one is."""
    with _replacing(file) as part:
        if file.suffix.lower() in PARQUET:
            frame.to_parquet(part)
        else:
            frame.to_file(part, layer="glaciers", driver="GPKG")


@contextmanager
def _replacing(file: Path) -> Iterator[Path]:
    """A path beside `file` that takes its place at the end of the block; removed where the block fails.

    Raises:
        MonitorError: it cannot be written.
    """
    part = file.with_name(f".{os.getpid()}-{file.name}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        refuse_open(file)
        yield part
        refuse_open(file)
        part.replace(file)
    except requests.RequestException:
        raise
    except (OSError, DataSourceError) as error:
        raise MonitorError(
            f"{file} cannot be written: {error}. Check free space and access rights"
        ) from error
    finally:
        part.unlink(missing_ok=True)


@dataclass(frozen=True)
class Archive:
    """Files of RGI 7.0 that were downloaded to `folder`, or are downloaded when they are asked for."""

    folder: Path
    progress: Progress = SILENT

    def get(self, url: str) -> Path:
        """The file of `url` on this disk.

        Raises:
            MonitorError: it cannot be downloaded, or what is served is not a zip file.
        """
        file = self.folder / urlsplit(url).path.rpartition("/")[2]
        if zipfile.is_zipfile(file):
            return file
        by_hand = f"Or download it with a browser to {file} and run the same command again."
        for number in range(1, TRIES + 1):
            try:
                return self._downloaded(url, file, by_hand)
            except requests.RequestException as error:
                cause = str(error)
                if isinstance(error, ValueError):  # the address is none
                    break
                status = 0 if error.response is None else error.response.status_code
            if status in (401, 403):
                raise MonitorError(f"{_login_needed(url)} {by_hand}")
            if status not in TRANSIENT and status != 0:
                break
            if number < TRIES:
                pause(number)
        raise MonitorError(
            f"{url} cannot be downloaded: {cause}. Check the network and `rgi` in {SETTINGS_FILE}. {by_hand}"
        )

    def _downloaded(self, url: str, file: Path, by_hand: str) -> Path:
        """One try: the user and password of ~/.netrc answer a login, also after redirections."""
        with requests.Session() as session, session.get(url, stream=True, timeout=TIMEOUT) as answer:
            answer.raise_for_status()
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                raise MonitorError(f"{_login_needed(url)} {by_hand}")
            size = int(answer.headers.get("Content-Length", 0))
            with (
                _replacing(file) as part,
                part.open("wb") as content,
                self.progress.count(f"{file.name}, MB", size // MEGABYTE) as done,
            ):
                for chunk in answer.iter_content(MEGABYTE):
                    before = content.tell() // MEGABYTE
                    content.write(chunk)
                    for _ in range(before, content.tell() // MEGABYTE):
                        done()
        if not zipfile.is_zipfile(file):
            file.unlink()
            raise MonitorError(f"{url} is not a zip file. Check `rgi` in {SETTINGS_FILE}.")
        return file


def _login_needed(url: str) -> str:
    return (
        f"{url} needs an Earthdata login, and none was accepted. Register (free of charge) at "
        "https://urs.earthdata.nasa.gov, write the line `machine urs.earthdata.nasa.gov login NAME password "
        "PASSWORD` to ~/.netrc, run `chmod 600 ~/.netrc`, and run the same command again."
    )


def _lines(workspace: Workspace, name: str, file: Path) -> str:
    """What monitor.yaml needs so that the region uses `file`."""
    settings = workspace.region_settings(name)
    if settings.glaciers is not None:
        return ""
    written = file.relative_to(workspace.folder)
    bounds = settings.bounds
    if workspace.settings.regions or bounds is None:
        return f"regions:\n  {name}:\n    glaciers: {written}"
    shape = ", ".join(f"{value:g}" for value in bounds)
    return f"regions:\n  {name}:\n    bounds: [{shape}]\n    glaciers: {written}"
