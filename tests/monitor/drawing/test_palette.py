"""The palette: different classes look different, also to people who cannot tell red from green."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from monitor.drawing.palette import MASK, SURVEYS, VERDICTS, rgb
from monitor.lakes.change import Verdict
from storage.codes import NO_ANSWER, SurveyKind

#: what linear red, green and blue look like without one kind of cone (Machado, Oliveira and Fernandes 2009)
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            (0.152286, 1.052583, -0.204868),
            (0.114503, 0.786281, 0.099216),
            (-0.003882, -0.048116, 1.051998),
        ]
    ),
    "deuteranopia": np.array(
        [
            (0.367322, 0.860646, -0.227968),
            (0.280085, 0.672501, 0.047413),
            (-0.011820, 0.042940, 0.968881),
        ]
    ),
}


def seen(colour: str, vision: str) -> np.ndarray:
    """Red, green and blue from 0 to 1 as a person sees them."""
    value = np.array(rgb(colour)) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(VISION[vision] @ linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("vision", VISION)
def test_verdicts_and_surveys_can_be_told_apart(vision: str) -> None:
    mask = [colour for colour, _ in MASK.values()]
    for colours in (list(VERDICTS.values()), list(SURVEYS.values()), mask):
        for one, other in combinations(colours, 2):
            distance = np.linalg.norm(seen(one, vision) - seen(other, vision))
            assert distance > 0.2, (one, other)


def test_every_verdict_has_a_colour_that_shows_on_snow() -> None:
    assert set(VERDICTS) == set(Verdict) and set(SURVEYS) == set(SurveyKind)
    for verdict, colour in VERDICTS.items():
        assert np.linalg.norm(seen(colour, "normal") - 1) > 0.5, verdict
    assert VERDICTS[Verdict.SPLIT] != VERDICTS[Verdict.MERGED]
    assert set(MASK) == {0, 1, NO_ANSWER}
