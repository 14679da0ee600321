"""Kind of landscape of an archive: alpine, gentle or lowland, with its plants, people, water and ice."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.settings import Settings


@dataclass(frozen=True)
class Landscape:
    """Settings of the ground that follow from the seed."""

    kind: str
    """alpine, gentle or lowland."""
    relief: float
    """Height of the mountains in proportion to alpine ones."""
    lowered: float
    """Metres by which the ground is lower than alpine ground."""
    green: float
    """Quantile of the elevations below which plants grow."""
    basin: float
    """Width of the reservoir that fills the large valley, as a share of the square; 0 = an ordinary one."""
    farmland: float
    """Share of the gentle low ground that has fields."""
    town: float
    """Share of the gentle low ground that is built up."""
    burnt: float
    """Share of the ground away from ice that has burnt."""
    dark_forest: float
    """Share of dark conifers in forest."""
    half_frozen: float
    """Odds that a lake is half frozen in one season."""
    icebergs: float
    """Odds that a lake has icebergs."""


#: landscape of the default seed, which is the demo's: high mountains above a settled valley
_DEMO = Landscape(
    kind="alpine", relief=1.0, lowered=0.0, green=0.5, basin=0.0, farmland=0.4, town=0.1, burnt=0.0,
    dark_forest=0.3, half_frozen=0.0, icebergs=0.0,
)  # fmt: skip


def landscape(settings: Settings) -> Landscape:
    """Landscape of a seed. Six of ten are alpine; the others have lower and gentler mountains.

    One in five has a reservoir that fills a fifth to nearly half of the square, where there is a large
    valley (`simulator.terrain.has_valley`). The landscape of the default seed is fixed.
    """
    if settings.seed == Settings.seed:
        return _DEMO
    rng = settings.stream("landscape")
    kind = str(rng.choice(("alpine", "gentle", "lowland"), p=(0.6, 0.22, 0.18)))
    relief, lowered, green = {
        "alpine": (1.0, 0.0, 0.5),
        "gentle": (rng.uniform(0.45, 0.8), rng.uniform(600, 1500), rng.uniform(0.55, 0.75)),
        "lowland": (rng.uniform(0.2, 0.45), rng.uniform(1500, 2000), rng.uniform(0.65, 0.85)),
    }[kind]
    settled = {"alpine": 0.35, "gentle": 0.7, "lowland": 0.9}[kind]
    basin = rng.uniform(0.18, 0.45) if rng.random() < 0.2 else 0.0
    fields = rng.uniform(0.2, 0.95) if rng.random() < settled else 0.0
    town = rng.uniform(0.05, 0.5) if rng.random() < settled else 0.0
    burnt = rng.uniform(0.03, 0.2) if rng.random() < 0.25 else 0.0
    conifers = rng.uniform(0, 1)
    half_frozen = rng.uniform(0.1, 0.3) if rng.random() < 0.4 else 0.0
    icebergs = rng.uniform(0.1, 0.4) if rng.random() < 0.4 else 0.0
    if settings.dem is not None:  # the raster has heights and valleys of its own
        relief, lowered, basin = 1.0, 0.0, 0.0
    return Landscape(
        kind=kind, relief=float(relief), lowered=float(lowered), green=float(green), basin=float(basin),
        farmland=float(fields), town=float(town), burnt=float(burnt), dark_forest=float(conifers),
        half_frozen=float(half_frozen), icebergs=float(icebergs),
    )  # fmt: skip
