"""Sets of sensors in manifests: the choice of a pixel's set, by one model or by several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.errors import ManifestError
from segmenter.inputs import present
from segmenter.manifest import Manifest
from segmenter.opening import read_manifests
from segmenter.sensors import name_of
from segmenter.sets import choices, validated
from tests.support.convolutions import fewer, folder_of


@pytest.fixture(scope="module")
def small(manifest_of: Callable[..., Manifest]) -> Callable[..., Manifest]:
    def make(*codes: int, **changes: Any) -> Manifest:
        return manifest_of(fewer=fewer(*codes), **changes)

    return make


def test_an_ensemble_of_models_of_different_sensors(
    small: Callable[..., Manifest], manifest_of: Callable[..., Manifest], tmp_path: Path
) -> None:
    """A set must be validated for each, as far as it takes the sensors."""
    shape = manifest_of().architecture
    assert shape is not None
    optical = small(architecture=shape.model_copy(update={"modalities": ("S2L2A",)}))
    both = small(5, 6, 1)
    folders = [folder_of(tmp_path / name, manifest) for name, manifest in (("a", optical), ("b", both))]
    joint = read_manifests(folders)
    assert [entry.code for entry in joint.sets] == [7, 5, 1]
    assert optical.sets[0].code == 1 and choices([optical]).tolist() == [0, 1] * 4


@given(codes=st.lists(st.lists(st.integers(1, 6), unique=True), min_size=1, max_size=3))
def test_the_table_of_choices_is_that_of_the_manifest(
    codes: list[list[int]], small: Callable[..., Manifest]
) -> None:
    manifests = [small(*each) for each in codes]
    found = validated(manifests)
    assert set(found) == {7}.union(set.intersection(*map(set, codes)))
    assert [code for code in codes[0] if code in found] == list(found[1:]), "in the order of the first"
    alone = choices(manifests[:1])
    for has in range(8):
        chosen = manifests[0].set_for(has)
        assert alone[has] == (0 if chosen is None else chosen.code)


@pytest.mark.parametrize("asked", [["S1"], ["S2L2A", "S1"], ["S2L2A", "S3"], []])
def test_a_set_that_was_not_validated_is_refused_by_name(
    small: Callable[..., Manifest], asked: list[str]
) -> None:
    manifest = small(5, 6)
    assert manifest.set_named(["DEM", "S1"]).name == "S1+DEM"
    assert manifest.set_named(["S1", "DEM", "S2L2A"]).code == 7
    named = "made-up: was not validated for the sensors " + ("+".join(asked) or "none")
    with pytest.raises(ManifestError) as error:
        manifest.set_named(asked)
    assert named in str(error.value)
    assert "only for S2L2A+S1+DEM, S2L2A+DEM, S1+DEM" in str(error.value)


def test_codes_and_names() -> None:
    assert [name_of(code) for code in range(8)] == [
        "none", "S2L2A", "S1", "S2L2A+S1", "DEM", "S2L2A+DEM", "S1+DEM", "S2L2A+S1+DEM"
    ]  # fmt: skip
    everything = np.zeros((1, 8), np.float32)
    sensors = [np.where(np.arange(8) >> bit & 1, everything, np.nan) for bit in range(3)]
    has = present(np.stack([sensors[0]] * 12), np.stack([everything, sensors[1]]), sensors[2])
    assert has.tolist() == [list(range(8))]
