"""Validated sets of sensors, as a manifest has them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from segmenter.area_factor import AreaFactor
from segmenter.manifest import MANIFEST_FILE, SENSORS, SensorSet
from tests.support.places import MODEL


def sensor_set(
    name: str = "S2L2A+S1+DEM", *, threshold: float = 0.5, area_factor: AreaFactor = 1.0
) -> SensorSet:
    """A set by its name, such as "S1+DEM"."""
    sensors = tuple(sensor for sensor in SENSORS if sensor in name.split("+"))
    return SensorSet(sensors=sensors, threshold=threshold, temperature=1.0, area_factor=area_factor)


#: all sensors
FULL = (sensor_set(),)
#: all sensors, and the sets for which the delivered model is validated
FEWER = (
    *FULL,
    *(sensor_set(name) for name in ("S2L2A+DEM", "S2L2A+S1", "S2L2A", "S1+DEM")),
)


def model_with_fewer(folder: Path) -> Path:
    """A copy of the bundled model in `folder` with the sets of `FEWER`; its scores are not measured."""
    return _with_sets(folder, FEWER[1:])


def model_with_all(folder: Path) -> Path:
    """A copy of the bundled model in `folder` that needs all sensors."""
    return _with_sets(folder, ())


def _with_sets(folder: Path, fewer: Sequence[SensorSet]) -> Path:
    made = Path(shutil.copytree(MODEL, folder))
    path = made / MANIFEST_FILE
    content = json.loads(path.read_text())
    content["fewer"] = [entry.model_dump(mode="json") for entry in fewer]
    path.write_text(json.dumps(content))
    return made
