"""Codes of the stores: reasons of pixels, states of tasks, outcomes of observations."""

from __future__ import annotations

from enum import IntEnum, StrEnum

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
    "SurveyKind",
    "TaskState",
    "VerdictKind",
]


NO_ANSWER = 255
"""A pixel of the mask without a valid view (uint8)."""

NO_ELEVATION = -32768
"""A pixel of the cube without a DEM (int16, metres)."""


class Reason(IntEnum):
    """Why a pixel holds what it holds (uint8 in the cube). Only WATER and DRY are answers."""

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
    SNOW = 2  # water by MNDWI, but near infrared or the scene classes show snow, ice or frozen water
    SHADOW = 3  # water by MNDWI, but too steep or in terrain shadow
    RADAR = 4  # water by MNDWI, but bright in radar: wind, a shore in layover, or no water
    TURBID = 5  # not water by MNDWI, but by NDWI: turbid or very shallow
    NODATA = 255


class TaskState(StrEnum):
    """State of a tile task: planned, committed to the cube, recorded in the lake history; or why not."""

    PLANNED = "planned"
    WRITTEN = "written"
    DONE = "done"
    EMPTY = "empty"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Outcome(StrEnum):
    """Outcome of a lake in a survey. "Not observed" is neither dry nor area zero."""

    WATER = "water"
    DRY = "dry"
    NOT_OBSERVED = "not observed"


class SurveyKind(StrEnum):
    """Origin of a survey: this system's model or its index of bands, or a published inventory."""

    MODEL = "model"
    INVENTORY = "inventory"
    INDEX = "index"  # never compared with a model's, and preferred last


TRUSTED = (SurveyKind.MODEL, SurveyKind.INVENTORY)
"""Kinds whose surveys are compared with one another; those of an index are kept apart."""


class LineageKind(StrEnum):
    """What happened to a lake's identity in a season."""

    NEW = "new"
    SPLIT = "split"  # lake = child, other = parent
    MERGED = "merged"  # lake = the one that ends, other = the one that goes on
    DRAINED = "drained"
    REAPPEARED = "reappeared"


class RunOutcome(StrEnum):
    """How a command ended; a run that was killed stays "running" without a finish time."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ModelState(StrEnum):
    """State of a registered model; at most one model of a name is active."""

    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"


class VerdictKind(StrEnum):
    """A person's answer to a review flag."""

    AGREE = "agree"
    DISAGREE = "disagree"
    UNSURE = "unsure"
