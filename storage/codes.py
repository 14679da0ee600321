"""Codes that the database and the cube store: states of pixels, tasks, observations, models and reviews."""

from __future__ import annotations

from enum import IntEnum, IntFlag, StrEnum

__all__ = [
    "NO_ANSWER",
    "NO_ELEVATION",
    "TRUSTED",
    "Index",
    "LineageKind",
    "ModelState",
    "Outcome",
    "Reason",
    "RunOutcome",
    "Sensor",
    "SurveyKind",
    "TaskState",
    "VerdictKind",
    "tile_name",
]


NO_ANSWER = 255
"""A pixel of the mask without a valid view (uint8)."""

NO_ELEVATION = -32768
"""A pixel of the cube without a DEM (int16, metres)."""


class Reason(IntEnum):
    """Class of a pixel (uint8 in the cube): WATER, DRY, or the reason why it has neither."""

    NODATA = 0
    WATER = 1
    DRY = 2
    CLOUD = 3
    SNOW = 4  # snow, ice or frozen water
    SHADOW = 5  # terrain shadow or radar layover
    OUTSIDE = 6  # outside the region or its glacier zone


class Index(IntEnum):
    """Class of a pixel by the water index (uint8 in the cube); `monitor.stack.index` computes it."""

    DRY = 0
    WATER = 1
    SNOW = 2  # water by MNDWI, but near infrared, red edge or the scene classes show snow or ice
    SHADOW = 3  # water by MNDWI, but too steep or in terrain shadow
    RADAR = 4  # water by MNDWI, but bright in radar: wind, a shore in layover, or no water
    TURBID = 5  # not water by MNDWI, but by NDWI: turbid or very shallow
    NODATA = 255


class Sensor(IntFlag):
    """Sensors with which a pixel was predicted (uint8 in the cube), as in `segmenter.manifest.SENSORS`."""

    OPTICAL = 1
    RADAR = 2
    ELEVATION = 4


class TaskState(StrEnum):
    """State of a tile task."""

    PLANNED = "planned"
    WRITTEN = "written"  # committed to the cube
    DONE = "done"  # recorded in the lake history
    EMPTY = "empty"  # nothing to map, with a reason
    FAILED = "failed"  # with a reason and, where known, the file
    SUPERSEDED = "superseded"  # replaced by another task of the tile


class Outcome(StrEnum):
    """Outcome of a lake in a survey. "Not observed" means neither "dry" nor an area of zero."""

    WATER = "water"
    DRY = "dry"
    NOT_OBSERVED = "not observed"


class SurveyKind(StrEnum):
    """Origin of a survey: a model of this system, its water index, or a published inventory."""

    MODEL = "model"
    INVENTORY = "inventory"
    INDEX = "index"  # compared only with surveys of its kind; preferred last


TRUSTED = (SurveyKind.MODEL, SurveyKind.INVENTORY)
"""Kinds whose surveys are compared with one another; surveys of an index are compared only with theirs."""


class LineageKind(StrEnum):
    """Event of a lake's identity in a season."""

    NEW = "new"
    SPLIT = "split"  # lake = child, other = parent
    MERGED = "merged"  # lake = the lake that ends, other = the lake that continues
    DRAINED = "drained"
    REAPPEARED = "reappeared"


class RunOutcome(StrEnum):
    """Outcome of a command. A run that was killed stays "running" and has no finish time."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ModelState(StrEnum):
    """State of a registered model; at most one model per name is active."""

    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"


class VerdictKind(StrEnum):
    """A person's answer to a review flag."""

    AGREE = "agree"
    DISAGREE = "disagree"
    UNSURE = "unsure"


def tile_name(epsg: int, size: int, tile_row: int, tile_col: int) -> str:
    """Name of a tile: its zone, its size in pixels, and its row and column among tiles of that size."""
    return f"{epsg}_{size}_{tile_row:04d}_{tile_col:04d}"
