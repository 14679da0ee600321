"""Passes of the satellites: dates, sun, processing baselines and radar geometry of every season."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from simulator.light import sun_position
from simulator.settings import Settings

_LOCAL_HOUR = 10.6  # Sentinel-2 crosses at 10:30 mean local solar time


@dataclass(frozen=True)
class OpticalPass:
    """One Sentinel-2 acquisition."""

    season: int
    """Year."""
    number: int
    """Position among the season's dates."""
    time: datetime
    platform: str
    orbit: int
    baseline: str
    """Processing baseline; from 04.00 on, digital numbers have an offset of 1000."""
    sun: tuple[float, float]
    """Azimuth and elevation, degrees."""
    cloud: float
    """Cloudy share of the sky."""
    snow_line: float
    """Quantile of the elevations above which there is seasonal snow."""
    haze: float
    """Residual path reflectance at 0.55 um after the correction; negative: too much was removed."""
    haze_slope: float
    """Exponent with which haze decreases with the wavelength."""
    relief_left: float
    """Exponent of the cosine law after the product's correction of slopes (see `simulator.light.light`)."""
    veil: float
    """Greatest opacity of thin cirrus over the whole scene, which the scene classification does not see."""

    @property
    def offset(self) -> int:
        """Offset of the digital numbers from reflectance x 10000."""
        return 1000 if float(self.baseline) >= 4 else 0


@dataclass(frozen=True)
class RadarPass:
    """One Sentinel-1 acquisition."""

    season: int
    time: datetime
    platform: str
    direction: str
    """ascending or descending."""
    orbit: int
    look: float
    """Azimuth of the look direction, degrees."""
    incidence: float
    """Incidence angle at the scene's centre, degrees."""
    wind: float
    """Share of lakes roughened by wind."""
    shift: tuple[float, float]
    """Offset of its pixel grid from the optical one towards east and north, metres."""
    storm: float = 0.0
    """Strength of a wind that roughens all lakes, 0..1."""


def optical_passes(settings: Settings) -> list[OpticalPass]:
    """Two or three dates per season, July to October; the first of all has an old baseline."""
    lon, lat = settings.centre
    passes = []
    for season in settings.seasons:
        rng = settings.stream("passes", season)
        count = 3 if season == settings.seasons[0] else int(rng.integers(2, 4))
        starts = {2: (205, 245), 3: (200, 226, 254)}[count]
        covers = rng.permutation([0.10, 0.28, 0.18][:count]) * rng.uniform(0.7, 1.4, count)
        for number, start in enumerate(starts):
            day = int(start + rng.integers(0, 20))
            noon = datetime(season, 1, 1, tzinfo=UTC) + timedelta(days=day - 1, hours=_LOCAL_HOUR - lon / 15)
            first = season == settings.seasons[0] and number == 0
            names = ("02.14", "03.01") if first else ("05.00", "05.09", "05.10", "05.11")
            platform = ("Sentinel-2A", "Sentinel-2B")[int(rng.integers(2))]
            late_snow = 0.15 if number == count - 1 and rng.random() < 0.4 else 0.0
            passes.append(
                OpticalPass(
                    season=season,
                    number=number,
                    time=noon + timedelta(seconds=int(rng.integers(0, 1200))),
                    platform=platform,
                    orbit=5 if rng.random() < 0.6 else 48,
                    baseline=names[int(rng.integers(len(names)))],
                    sun=sun_position(lat, day, _LOCAL_HOUR + rng.normal(0, 0.1)),
                    cloud=float(covers[number]),
                    snow_line=float(rng.uniform(0.80, 0.97) - late_snow),
                    haze=float(
                        rng.gamma(2.0, 0.0018) - 0.0028 + (rng.random() < 0.25) * rng.gamma(2.0, 0.009)
                    ),
                    haze_slope=float(rng.uniform(1.2, 2.4)),
                    relief_left=float(rng.uniform(0.1, 0.75)),
                    veil=float((rng.random() < 0.3) * rng.uniform(0.02, 0.09)),
                )
            )
    return passes


def radar_passes(settings: Settings, optical: list[OpticalPass]) -> list[RadarPass]:
    """An ascending and a descending pass per season, within a week of one of its optical dates."""
    passes = []
    for season in settings.seasons:
        rng = settings.stream("radar passes", season)
        dates = [p for p in optical if p.season == season]
        near = dates[int(rng.integers(len(dates)))].time
        geometry = settings.stream("radar geometry")
        shift = (float(geometry.uniform(1.5, 8.5)), float(geometry.uniform(1.5, 8.5)))
        for direction, orbit, look, hour in (("descending", 107, 280.0, 0.9), ("ascending", 27, 80.0, 12.6)):
            day = near.replace(hour=0, minute=0, second=0) + timedelta(days=int(rng.integers(-5, 6)))
            seconds = int(rng.integers(0, 600))
            old_twin = season < 2022 and rng.random() < 0.5
            passes.append(
                RadarPass(
                    season=season,
                    time=day + timedelta(hours=hour, seconds=seconds),
                    platform="SENTINEL-1B" if old_twin else "SENTINEL-1A",
                    direction=direction,
                    orbit=orbit,
                    look=look + float(geometry.uniform(-2, 2)),
                    incidence=float(geometry.uniform(34, 43)),
                    wind=float(rng.uniform(0.05, 0.5)),
                    shift=shift,
                    storm=float((rng.random() < 0.2) * rng.uniform(0.3, 1.0)),
                )
            )
    return passes
