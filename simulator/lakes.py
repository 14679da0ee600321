"""Lakes: smooth irregular outlines of exact area in every season, and events between seasons."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import LineString, MultiPolygon, Polygon

_POINTS = 160


@dataclass(frozen=True)
class Shape:
    """Shape of a lake without its size: radius as a function of direction."""

    centre: tuple[float, float]
    """Easting, northing in metres."""
    axis: float
    """Direction of the long axis, radians from east."""
    stretch: float
    """Ratio of the long to the short axis."""
    amplitude: NDArray[np.float64]
    """Relative amplitude of the harmonics of the radius, from 2 on."""
    phase: NDArray[np.float64]
    """Phase of each harmonic, radians."""
    grows_to: float
    """Direction in which the lake grows, radians from east."""

    def outline(self, area: float, reference: float) -> Polygon:
        """Outline of exactly `area` m2; the change from `reference` m2 is largest towards `grows_to`."""
        angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
        order = np.arange(2, 2 + len(self.amplitude))
        radius = 1 + (self.amplitude * np.cos(order * angle[:, None] + self.phase)).sum(axis=1)
        radius = np.clip(radius, 0.45, 1.8)
        lobe = 0.15 + np.clip(np.cos(angle + self.axis - self.grows_to), 0, None) ** 2
        low, high = -0.75, 6.0
        size = np.sqrt(reference / self._polygon(radius, angle, 1.0).area)
        for _ in range(40):
            middle = (low + high) / 2
            if self._polygon(radius * (1 + middle * lobe), angle, size).area < area:
                low = middle
            else:
                high = middle
        exact = self._polygon(radius * (1 + middle * lobe), angle, size)
        return self._polygon(radius * (1 + middle * lobe), angle, size * np.sqrt(area / exact.area))

    def _polygon(self, radius: NDArray[np.float64], angle: NDArray[np.float64], size: float) -> Polygon:
        x = size * radius * np.cos(angle) * np.sqrt(self.stretch)
        y = size * radius * np.sin(angle) / np.sqrt(self.stretch)
        cos, sin = np.cos(self.axis), np.sin(self.axis)
        return Polygon(
            np.column_stack([self.centre[0] + cos * x - sin * y, self.centre[1] + sin * x + cos * y])
        )


def random_shape(rng: np.random.Generator, centre: tuple[float, float], axis: float, stretch: float) -> Shape:
    """Random shape with the irregularity of real lakes: harmonics 2 to 8, decreasing with order."""
    order = np.arange(2, 9)
    amplitude = rng.normal(0, 0.30, order.size) / order**0.9
    return Shape(
        centre,
        axis,
        stretch,
        amplitude,
        rng.uniform(0, 2 * np.pi, order.size),
        float(rng.uniform(0, 2 * np.pi)),
    )


@dataclass(frozen=True)
class Lake:
    """A lake in all seasons."""

    name: str
    kind: str
    """lake, river or reservoir."""
    cases: tuple[str, ...]
    """Test cases that it represents: growing, turbid, frozen, border …"""
    outlines: tuple[Polygon | MultiPolygon | None, ...]
    """Water (or ice) surface per season, None where there is none."""
    states: tuple[str, ...]
    """water, frozen, drained or absent, per season."""
    clouded: tuple[bool, ...] = ()
    """Per season: whether it is planned to be under cloud on all dates."""
    ice: tuple[Polygon | MultiPolygon | None, ...] = ()
    """Per season: the part of a water surface that is under ice on all dates."""
    colour: dict[str, float] = field(default_factory=dict)
    """Share of each kind of water (`simulator.spectra.WATER_KINDS`)."""


@dataclass(frozen=True)
class Event:
    """A change of identity between two seasons."""

    kind: str
    from_season: int
    to_season: int
    parents: tuple[str, ...]
    children: tuple[str, ...]


def cut_off(
    outline: Polygon, share: float, angle: float, rng: np.random.Generator
) -> Polygon | MultiPolygon | None:
    """Part of an outline on one side of a winding line, of about `share` of its area; None if it is tiny.

    Args:
        angle: direction in which the part lies, radians from east.
    """
    middle, reach = outline.centroid, outline.length
    along = np.linspace(-reach, reach, 240)
    scale = np.sqrt(outline.area)
    winding = sum(
        rng.normal(0, 0.06) * np.sin(along / (scale * cell) + rng.uniform(0, 6))
        for cell in (0.25, 0.11, 0.05)
    )
    low, high = -reach, reach
    cos, sin = np.cos(angle), np.sin(angle)
    for _ in range(16):
        at = (low + high) / 2
        line = np.column_stack([at + scale * winding, along])
        side = np.vstack([line, [[3 * reach, reach], [3 * reach, -reach]]])
        turned = side @ np.array([[cos, sin], [-sin, cos]]) + [middle.x, middle.y]
        part = outline.intersection(Polygon(turned).buffer(0))
        low, high = (at, high) if part.area > share * outline.area else (low, at)
    return part if part.area > 1000 and part.geom_type in ("Polygon", "MultiPolygon") else None


def split_in_two(outline: Polygon, gap: float, angle: float, bends: float) -> tuple[Polygon, Polygon] | None:
    """Divide an outline by a winding strip of dry ground of `gap` metres into two smooth lakes.

    None if one of them would be tiny or there would be more than two.
    """
    middle, reach = outline.centroid, outline.length
    along = np.linspace(-reach, reach, 200)
    swing = 0.25 * np.sin(along / (0.9 * gap) + bends) + 0.15 * np.sin(along / (0.4 * gap) + 2 * bends)
    aside = gap * swing
    cos, sin = np.cos(angle), np.sin(angle)
    path = np.column_stack([middle.x + cos * along - sin * aside, middle.y + sin * along + cos * aside])
    left = outline.difference(LineString(path).buffer(gap / 2))
    rounding = gap / 4
    parts = [
        part.buffer(-rounding).buffer(rounding * 0.8)
        for part in getattr(left, "geoms", [])
        if part.area > 0.05 * outline.area
    ]
    if len(parts) != 2 or any(part.geom_type != "Polygon" or part.area < 4000 for part in parts):
        return None
    return parts[0], parts[1]
