"""A lake's area over its seasons: the values that are drawn, and their description in words.

`monitor/report/curve/terminal.py` draws them as text, `monitor/report/curve/picture.py` as PNG or SVG.
Areas are square metres until they are drawn.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from storage.policy import OPTICAL, SEEN_WHOLE

if TYPE_CHECKING:
    from storage.trends import Trend

#: areas from here on are given in square kilometres, smaller ones in hectares
LARGE_M2 = 1e6
#: mergers and splits that a sentence names one by one
MANY_JUMPS = 3
#: the axis of areas begins above 0 when all areas lie in the upper part of it
UPPER_PART = 0.6


@dataclass(frozen=True)
class Point:
    """The lake in one current survey."""

    season: int
    kind: str
    """Of the survey: model, inventory or index."""
    source: str
    outcome: str
    reason: str | None
    area_m2: float | None
    """0 where seen dry, None where not observed."""
    low_m2: float | None
    """Lower end of the 95 % interval; None where no error is known."""
    high_m2: float | None
    seen_share: float | None
    suspect: str | None
    """Why the survey is suspect; None if it is not."""
    shown: bool
    """Whether this point is the season's value; points of other surveys are drawn beside it."""
    sensors: str | None = None
    """Sensors from which most of the lake was mapped, such as "S1+DEM"; None where they are unknown."""

    @property
    def doubt(self) -> str | None:
        """Why the point is drawn hollow and excluded from the trend; None if it counts."""
        if self.suspect is not None:
            return "suspect season"
        if self.outcome == "water" and (self.seen_share or 0) < SEEN_WHOLE:
            return "seen in part" if self.seen_share is None else f"seen to {self.seen_share:.0%}"
        return None


@dataclass(frozen=True)
class Event:
    """An event in the lake's identity: split, merged, new, drained, reappeared."""

    season: int
    words: str
    others: tuple[str, ...] = ()
    """Codes of the other lakes."""

    @property
    def text(self) -> str:
        """The event with the codes of the other lakes, at most two of them."""
        if not self.others:
            return self.words
        shown = [*self.others[:2], *([f"{len(self.others) - 2} more"] if len(self.others) > 2 else [])]
        joint = {"split": ", giving", "split off": " from"}.get(self.words, "")
        return f"{self.words}{joint} {', '.join(shown)}"

    @property
    def jump(self) -> str | None:
        """The word for an event that changes the area without a change of water; None for others."""
        return "split" if "split" in self.words else "merger" if "merged" in self.words else None


@dataclass(frozen=True)
class Curve:
    """The drawn values of one lake, in order of season."""

    lake_id: UUID
    code: str
    points: tuple[Point, ...]
    events: tuple[Event, ...] = ()
    trend: Trend | None = None
    simulated: bool = False
    """Some of the surveys were made from simulated scenes."""

    @property
    def unit(self) -> tuple[str, float]:
        """Name of the unit of area, and its square metres."""
        largest = max((p.high_m2 or p.area_m2 or 0 for p in self.points), default=0)
        return ("km2", 1e6) if largest >= LARGE_M2 else ("ha", 1e4)

    @property
    def seen(self) -> list[Point]:
        """Points with an area, in order; the season's value after those beside it."""
        return sorted((p for p in self.points if p.area_m2 is not None), key=lambda p: (p.season, p.shown))

    @property
    def gaps(self) -> dict[int, str]:
        """Seasons in which no survey observed the lake, and why."""
        seen = {p.season for p in self.seen}
        reasons: dict[int, list[str]] = defaultdict(list)
        for p in sorted(self.points, key=lambda p: not p.shown):
            if p.season not in seen and p.reason not in reasons[p.season]:
                reasons[p.season].append(p.reason or "no reason")
        return {season: " and ".join(why) for season, why in sorted(reasons.items()) if why}

    @property
    def by_radar(self) -> list[int]:
        """Seasons in which the lake was seen without optics, by which its interval is wider."""
        return [p.season for p in self.seen if p.shown and p.sensors and not p.sensors.startswith(OPTICAL)]

    @property
    def doubts(self) -> dict[int, str]:
        """Seasons with a hollow point, and why."""
        return {p.season: p.doubt for p in self.seen if p.doubt is not None}

    @property
    def trend_significant(self) -> bool:
        """Whether the interval of the slope excludes 0."""
        trend = self.trend
        if trend is None or trend.slope_low_m2_per_year is None or trend.slope_high_m2_per_year is None:
            return False
        return trend.slope_low_m2_per_year > 0 or trend.slope_high_m2_per_year < 0

    @property
    def hollow_kinds(self) -> set[str]:
        """Kinds of the surveys whose points are hollow."""
        return {p.kind for p in self.seen if p.doubt is not None}


def event_words(event: str, *, mine: bool) -> str:
    """Words for a lineage event of a lake; `mine` is false if the lake is the event's other lake."""
    words = {("split", True): "split off", ("merged", True): "merged into", ("merged", False): "merged with"}
    return words.get((event, mine), event)


def radar_words(curve: Curve) -> str | None:
    """The seasons in which the lake was seen without optics, in a sentence; None if there are none."""
    if not curve.by_radar:
        return None
    return f"Seen by radar without optics: {', '.join(map(str, curve.by_radar))}"


def trend_words(curve: Curve) -> str:
    """The trend in a sentence, in the curve's unit per year."""
    unit, scale = curve.unit
    trend = curve.trend
    if trend is None:
        return "Trend: none before three seasons saw the whole lake"
    low, high = trend.slope_low_m2_per_year, trend.slope_high_m2_per_year
    slopes = [slope / scale for slope in (trend.slope_m2_per_year, low, high) if slope is not None]
    digits = decimals(slopes[0] or max(map(abs, slopes)))
    slope, *ends = (f"{value:+.{digits}f}" for value in slopes)
    span = f"{trend.first_season}-{trend.last_season}"
    jumps = [f"the {e.jump} of {e.season}" for e in curve.events if e.jump and e.season in trend.span]
    across = " and ".join(jumps) if len(jumps) <= MANY_JUMPS else f"{len(jumps)} mergers and splits"
    rest = f"; it runs across {across}" if jumps else ""
    if low is None or high is None:
        few = f"Theil-Sen of {trend.seasons} seasons, too few for an interval"
        return f"Trend: {slope} {unit} per year, {span}, {few}{rest}"
    unclear = "" if curve.trend_significant else "; neither growth nor loss is significant"
    theil = f"Theil-Sen of {trend.seasons} seasons"
    return f"Trend: {slope} {unit} per year (95 %: {ends[0]} to {ends[1]}), {span}, {theil}{unclear}{rest}"


def trend_line(trend: Trend) -> tuple[tuple[float, float], tuple[float, float]]:
    """Season and area (square metres) of both ends of the trend's line; it ends where the area reaches 0."""
    first, last = (
        (season, area) if (area := trend.area_m2(season)) >= 0 else (_dry(trend), 0.0)
        for season in (float(trend.first_season), float(trend.last_season))
    )
    return first, last


def _dry(trend: Trend) -> float:
    """Season at which the line reaches 0."""
    return trend.middle_season - trend.middle_area_m2 / trend.slope_m2_per_year


def decimals(value: float) -> int:
    """Number of decimals that shows two significant digits of `value`."""
    return max(0, 1 - math.floor(math.log10(abs(value)))) if value else 0


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers around low..high, at most `most` steps, evenly spaced, the outer ones outside."""
    if high <= low:
        low, high = (0.5 * low, 1.5 * low) if low > 0 else (0.0, 1.0)
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 2.5, 5, 10, 20):
        step = factor * power
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if max(last, first + 1) - first <= most:
            break
    return [round(n * step, 12) for n in range(first, max(last, first + 1) + 1)]


def area_ticks(curve: Curve) -> list[float]:
    """Areas to label, in the curve's unit, around intervals and trend: from 0 unless all lie far above."""
    lows = [p.low_m2 if p.low_m2 is not None else p.area_m2 or 0.0 for p in curve.seen]
    highs = [p.high_m2 if p.high_m2 is not None else p.area_m2 or 0.0 for p in curve.seen]
    if curve.trend is not None:
        ends = [area for _, area in trend_line(curve.trend)]
        lows, highs = [*lows, *ends], [*highs, *ends]
    low, high = min(lows, default=0.0), max(highs, default=0.0)
    scale = curve.unit[1]
    return ticks((low if low > UPPER_PART * high else 0.0) / scale, high / scale)


def by_reason(reasons: dict[int, str]) -> str:
    """Seasons with the same reason together."""
    seasons: dict[str, list[str]] = defaultdict(list)
    for season, reason in reasons.items():
        seasons[reason].append(str(season))
    return "; ".join(f"{', '.join(years)} {reason}" for reason, years in seasons.items())
