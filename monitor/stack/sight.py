"""Viewing geometry of a Sentinel-1 scene: azimuth and incidence of the beam, from the metadata of its item.

Catalogues give the direction of the pass and an outline, but no angles. The azimuth follows from the orbit's
inclination, and the incidence from the edges of a whole swath. Where the outline is not a whole swath (a
scene clipped to a map square), `view:azimuth` and `view:incidence_angle` are used, and without them the
middle of the swath, so that the result is approximate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from pyproj import Geod, Proj, Transformer

from monitor.archive import properties
from monitor.archive.outlines import outline
from monitor.errors import RefusedError
from monitor.grid import WGS84, continuous

#: mean radius of the Earth and of Sentinel-1's orbit, metres (ESA Sentinel-1 Product Definition: semi-major
#: axis 7071 km; 693 km above the equator, and 700 km above the mean sphere, its height near 35 degrees)
EARTH, ORBIT = 6_371_000.0, 7_071_000.0
_INCLINATION = math.radians(98.18)
_SPEED = math.sqrt(3.986_004_418e14 / ORBIT)  # metres per second, circular orbit
_SPIN = 7.292_115_9e-5  # the Earth's rotation, radians per second
#: incidence at the near and the far edge of an interferometric wide swath, degrees
_IW = (30.9, 46.0)
#: metres by which the width of a footprint can differ from a whole swath's; 252 to 267 km occur
_SLACK = 20_000.0
_GLOBE = Geod(ellps="WGS84")


@dataclass(frozen=True)
class Sight:
    """Viewing geometry of a right-looking radar at one place of a scene.

    Compared with annotations of S1A and S1C, angles from the outline of a whole swath are within 0.8 degrees;
    the satellite rolls with its height (roll steering), which items do not state.
    """

    longitude: float
    latitude: float
    #: azimuth of the beam at that place, degrees clockwise from true north
    azimuth: float
    #: angle between the beam and the vertical there, on flat ground, degrees
    incidence: float
    #: whether the item lacks the incidence, which is then the swath's middle, wrong by up to 7.6 degrees
    approximate: bool = False

    @property
    def ground_range(self) -> float:
        """Metres along the ground from the satellite's nadir to the place."""
        return ground_range(self.incidence)

    def on_grid(self, epsg: int) -> tuple[float, float, float]:
        """The azimuth (degrees from grid north) and the place (easting, northing) in a UTM zone.

        A range line is a great circle, nearly straight in UTM, so that one azimuth is used for the width of
        the swath; along a scene of 200 km the heading turns by 0.3 degrees.
        """
        easting, northing = _to_utm(epsg).transform(self.longitude, self.latitude)
        turn = convergence(epsg, self.longitude, self.latitude)
        return self.azimuth - turn, float(easting), float(northing)


def radar_geometry(item: dict[str, Any]) -> Sight:
    """The viewing geometry of a Sentinel-1 item (STAC, as a dict).

    Raises:
        RefusedError: the item states no direction, or was not acquired in interferometric wide swath.
        ValueError: it has no usable outline.
    """
    facts, name = properties.facts_of(item), item["id"]
    if (mode := properties.mode(facts, name)) != "IW":
        raise RefusedError(f"{name}: instrument mode {mode}; its angles are known for IW only: exclude it")
    ground = continuous(outline(item))
    longitude, latitude = ground.centroid.x, ground.centroid.y
    azimuth = _azimuth(facts, name, latitude)

    across = _across(ground, longitude, latitude, azimuth)
    near, far = (ground_range(angle) for angle in _IW)
    if abs(float(np.ptp(across)) - (far - near)) <= _SLACK:
        middle = (float(across.min()) + float(across.max())) / 2
        longitude, latitude, back = _GLOBE.fwd(longitude, latitude, azimuth, middle)
        return Sight(longitude, latitude, (back + 180) % 360, _middle())
    stated = properties.incidence(facts)
    if stated is None:
        return Sight(longitude, latitude, azimuth, _middle(), approximate=True)
    if (stated_azimuth := properties.azimuth(facts)) is not None:
        azimuth = _arrival(latitude, ground_range(stated), lambda _: math.radians(stated_azimuth))
    return Sight(longitude, latitude, azimuth, stated)


def ground_range(incidence: float) -> float:
    """Metres along a spherical Earth from nadir to the place where the incidence is `incidence` degrees."""
    theta = math.radians(incidence)
    return EARTH * (theta - math.asin(EARTH / ORBIT * math.sin(theta)))


def convergence(epsg: int, longitude: float, latitude: float) -> float:
    """Meridian convergence: degrees by which grid north of a UTM zone is clockwise of true north."""
    return float(Proj(f"EPSG:{epsg}").get_factors(longitude, latitude).meridian_convergence)


@lru_cache(maxsize=64)
def _to_utm(epsg: int) -> Transformer:
    return Transformer.from_crs(WGS84, epsg, always_xy=True)


def _across(outline: shapely.Geometry, longitude: float, latitude: float, azimuth: float) -> np.ndarray:
    """Distances in metres of all vertices from a place, along the beam's direction there."""
    points = shapely.get_coordinates(outline)
    here = np.broadcast_to((longitude, latitude), points.shape)
    forward, _, distance = _GLOBE.inv(here[:, 0], here[:, 1], points[:, 0], points[:, 1])
    return np.asarray(distance * np.cos(np.radians(np.asarray(forward) - azimuth)))


def _middle() -> float:
    """Incidence half-way across the swath on the ground, degrees."""
    near, far = (ground_range(angle) for angle in _IW)
    angle = (near + far) / 2 / EARTH
    return math.degrees(angle + math.atan2(EARTH * math.sin(angle), ORBIT - EARTH * math.cos(angle)))


def _azimuth(facts: Mapping[str, Any], name: str, latitude: float) -> float:
    """Azimuth of the beam at a place, from the pass of the item, or else from its `view:azimuth`."""
    if state := properties.orbit_state(facts):
        return _arrival(latitude, ground_range(_middle()), lambda below: _bearing(below, state))
    if (stated := properties.azimuth(facts)) is not None:
        distance = ground_range(properties.incidence(facts) or _middle())
        return _arrival(latitude, distance, lambda _: math.radians(stated))
    raise RefusedError(
        f"{name}: neither sat:orbit_state nor view:azimuth, so its viewing direction is unknown: exclude it"
    )


def _bearing(latitude: float, state: str) -> float:
    """Bearing of the beam at the satellite's nadir, radians: perpendicular to its track over the Earth.

    The inertial heading by spherical trigonometry, sin(heading) = cos(inclination) / cos(latitude), is
    corrected for the Earth's rotation, which turns it by 3 degrees (Capderou 2014, Handbook of Satellite
    Orbits). By yaw steering Sentinel-1's beam is perpendicular to the relative velocity.
    """
    east = math.cos(_INCLINATION) / math.cos(latitude)
    north = math.sqrt(1 - east**2) * (1 if state == "ascending" else -1)
    eastward = _SPEED * east - _SPIN * ORBIT * math.cos(latitude)
    return math.atan2(eastward, _SPEED * north) + math.pi / 2


def _arrival(latitude: float, distance: float, bearing: Callable[[float], float]) -> float:
    """Azimuth (degrees) at a place of the great circle from nadir, where it has `bearing` of the latitude.

    Meridians converge by up to 5 degrees over the 500 km between nadir and scene.
    """
    place, arc = math.radians(latitude), distance / EARTH
    below = place
    for _ in range(10):  # each iteration reduces the error about tenfold
        start = bearing(below)
        reached = math.asin(
            math.sin(below) * math.cos(arc) + math.cos(below) * math.sin(arc) * math.cos(start)
        )
        below += place - reached
    start = bearing(below)
    east = math.cos(below) * math.sin(start)
    north = math.cos(below) * math.cos(arc) * math.cos(start) - math.sin(below) * math.sin(arc)
    return math.degrees(math.atan2(east, north)) % 360
