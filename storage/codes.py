"""The words and numbers everyone writes: reasons of pixels, states of tasks, outcomes of observations."""

from __future__ import annotations

from enum import IntEnum, StrEnum

__all__ = [
    "NO_ELEVATION",
    "TRUSTED",
    "LineageKind",
    "ModelState",
    "Outcome",
    "Reason",
    "RunOutcome",
    "SurveyKind",
    "TaskState",
    "VerdictKind",
]


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


class TaskState(StrEnum):
    """Life of a tile task: planned, committed to the cube, in the lake history; or why not."""

    PLANNED = "planned"
    WRITTEN = "written"
    DONE = "done"
    EMPTY = "empty"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Outcome(StrEnum):
    """What a survey says of one lake. "Not observed" is neither dry nor area zero."""

    WATER = "water"
    DRY = "dry"
    NOT_OBSERVED = "not observed"


class SurveyKind(StrEnum):
    """Where a survey comes from: this system's model or index of bands, or somebody's published inventory."""

    MODEL = "model"
    INVENTORY = "inventory"
    INDEX = "index"  # never compared with a model's, and the last to be believed


TRUSTED = (SurveyKind.MODEL, SurveyKind.INVENTORY)
"""Kinds whose surveys know of one another: what an index says is for itself."""


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
    """A registered model's standing; at most one model of a name is active."""

    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"


class VerdictKind(StrEnum):
    """A person's answer to a review flag."""

    AGREE = "agree"
    DISAGREE = "disagree"
    UNSURE = "unsure"
