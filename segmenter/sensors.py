"""Sets of sensors, their codes and names, and the calibration of a model for a set."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator

from segmenter.area_factor import AreaFactor

ModalityName = Literal["S2L2A", "S1", "DEM"]
SENSORS: tuple[ModalityName, ...] = ("S2L2A", "S1", "DEM")
"""All sensors. The code of a set of sensors has the bits 1, 2 and 4 for them, in this order; 0 is none."""
ALL = 7
"""Code of the set of all sensors."""


class SensorSet(BaseModel):
    """A set of sensors for which a model was validated, with its calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sensors: Annotated[tuple[ModalityName, ...], Field(min_length=1)]
    """Sensors that a pixel has, in the order of `SENSORS`."""
    threshold: Annotated[float, Field(gt=0, lt=1)]
    """Least probability of a water pixel."""
    temperature: PositiveFloat
    """Divisor of logits."""
    shift: float = 0.0
    """Added to logits before they are divided."""
    area_factor: AreaFactor
    """Factor of the standard deviations of lake areas."""
    scores: dict[str, Any] = {}
    """Measured scores with these sensors alone."""

    @field_validator("sensors")
    @classmethod
    def _in_order(cls, sensors: tuple[ModalityName, ...]) -> tuple[ModalityName, ...]:
        if sensors != sensors_of(code_of(sensors)):
            raise ValueError(f"must be some of {' '.join(SENSORS)}, in this order, got {' '.join(sensors)}")
        return sensors

    @property
    def code(self) -> int:
        """Code of the set; see `SENSORS`."""
        return code_of(self.sensors)

    @property
    def name(self) -> str:
        """Such as "S1+DEM"."""
        return "+".join(self.sensors)


def code_of(sensors: Iterable[ModalityName]) -> int:
    """Code of a set of sensors; see `SENSORS`."""
    return sum(1 << SENSORS.index(name) for name in set(sensors))


def sensors_of(code: int) -> tuple[ModalityName, ...]:
    """The sensors of the set with this code, in the order of `SENSORS`."""
    return tuple(name for bit, name in enumerate(SENSORS) if code >> bit & 1)


def best_set(codes: Iterable[int], present: int) -> int:
    """The first of some sets whose sensors are all among those of the set `present` (codes); 0 if none is."""
    return next((code for code in codes if not code & ~present), 0)


def name_of(code: int) -> str:
    """Name of the set of sensors with this code, such as "S1+DEM"; "none" for 0."""
    return "+".join(sensors_of(code)) or "none"
