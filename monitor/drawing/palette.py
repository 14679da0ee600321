"""The colours of every picture, map style and class raster.

The hues are those of Okabe and Ito (2008), "Color Universal Design", which people with any common form of
colour vision can tell apart. `monitor/export/templates` repeats them in its QML and SLD files; a test checks
that both agree.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitor.lakes.change import Verdict
from storage.codes import NO_ANSWER, Reason, SurveyKind

BLACK = "#000000"
ORANGE = "#e69f00"
SKY_BLUE = "#56b4e9"
GREEN = "#009e73"
BLUE = "#0072b2"
VERMILLION = "#d55e00"
PURPLE = "#cc79a7"
GREY = "#585858"
#: bare ground
SAND = "#ded6c4"

#: outlines of lakes by their change; none of them is the white of snow and cloud
VERDICTS: Mapping[Verdict, str] = {
    Verdict.GROWN: BLUE,
    Verdict.SHRUNK: ORANGE,
    Verdict.NEW: SKY_BLUE,
    Verdict.DRAINED: VERMILLION,
    Verdict.SPLIT: PURPLE,
    Verdict.MERGED: GREEN,
    Verdict.SAME: BLACK,
    Verdict.NOT_OBSERVED: GREY,
}
#: points of an area curve by the kind of their survey
SURVEYS: Mapping[str, str] = {SurveyKind.MODEL: BLUE, SurveyKind.INVENTORY: GREEN, SurveyKind.INDEX: PURPLE}
#: pixels of the cube's class layers, by code
CLASSES: Mapping[str, Mapping[int, str]] = {
    "mask": {0: SAND, 1: BLUE},
    "reason": {
        Reason.NODATA: BLACK,
        Reason.WATER: BLUE,
        Reason.DRY: SAND,
        Reason.CLOUD: "#ffffff",
        Reason.SNOW: "#b2ebf2",
        Reason.SHADOW: "#46465a",
        Reason.OUTSIDE: "#9e9e9e",
    },
}
#: the mask's classes as a picture shows them, with their names
MASK: Mapping[int, tuple[str, str]] = {
    1: (CLASSES["mask"][1], "water"),
    0: (CLASSES["mask"][0], "dry"),
    NO_ANSWER: (GREY, "no answer"),
}


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a colour written as #rrggbb."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
