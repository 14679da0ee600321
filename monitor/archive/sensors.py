"""The sensors of which a place has usable scenes, and whether a model can do with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from segmenter.manifest import SENSORS, Manifest, ModalityName, code_of

if TYPE_CHECKING:
    from monitor.archive.scenes import SceneList
    from monitor.grid import Tile

#: codes of the sets of sensors (`segmenter.manifest.SENSORS`) for which a model was validated, the best first
Sets = Sequence[int]
#: of a model that needs all sensors
EVERY: tuple[int, ...] = (code_of(SENSORS),)
#: names of the inputs for messages
INPUTS: Mapping[ModalityName, str] = {"S2L2A": "Sentinel-2", "S1": "Sentinel-1", "DEM": "DEM"}


def sets_of(manifest: Manifest) -> tuple[int, ...]:
    """The sets of sensors for which a model was validated."""
    return tuple(entry.code for entry in manifest.sets)


def sensors_over(tile: Tile, scenes: SceneList) -> int:
    """Code of the sensors of which a tile has a usable scene."""
    mine = scenes.within(tile)
    found: Mapping[ModalityName, bool] = {
        "S2L2A": any(choice.optical for choice in mine),
        "S1": any(choice.radar for choice in mine),
        "DEM": bool(scenes.dem),
    }
    return code_of(name for name, there in found.items() if there)


def lacking(sensors: int) -> tuple[str, ...]:
    """Names of the inputs that are not among some sensors (a code)."""
    return tuple(INPUTS[name] for name in SENSORS if not code_of([name]) & sensors)


def works_without_optical(sets: Sets) -> bool:
    """Whether some set has no Sentinel-2."""
    return not all(code & code_of(["S2L2A"]) for code in sets)
