"""Programs of a model for each set of sensors: made when the set comes, kept, and made one at a time."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segmenter import model as models
from segmenter import network
from segmenter.manifest import Manifest, SensorSet
from segmenter.model import Model, load, save
from segmenter.program import made_from
from segmenter.programs import Programs

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.segmenter.conftest import Stack

OPTICAL = SensorSet(sensors=("S2L2A",), threshold=0.5, temperature=1.0, area_factor=1.0)


@pytest.fixture
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of programs, with a key of its own; returns its folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "cache" / "lake-monitor"


def test_the_program_of_a_set_is_made_with_its_first_window_and_kept(
    tiny: nn.Module,
    manifest_of: Callable[..., Manifest],
    stack_of: Callable[..., Stack],
    tmp_path: Path,
    private_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "model"
    save(folder, tiny, manifest_of(chip=112, stride=80, sigma=28, fewer=(OPTICAL,)), half=False)
    torch.set_num_threads(2)  # windows side by side, as where a program is made while others run
    try:
        model = load(folder, "cpu")
        manifest = model.manifest
        stack = stack_of(60 + 224, 90 + 224)
        stack.radar[:, :, : 112 + 50] = np.nan
        halves = np.s_[:, :50], np.s_[:, 50:]
        arrays = (stack.optical, stack.radar, stack.dem)
        names = [f"{made_from(manifest, code)}.pt2" for code in (7, 1)]
        assert [path.name for path in private_cache.glob("*.pt2")] == names[:1]
        answer = model.predict(*arrays, row=40, col=40, halo=112)
        assert {path.name for path in private_cache.glob("*.pt2")} == set(names)
        assert [np.unique(answer.sources[half]).tolist() for half in halves] == [[1], [7]]

        chips = network.Chips(copy.deepcopy(tiny), manifest).eval()
        plain = Model(manifest, chips, torch.device("cpu")).predict(*arrays, row=40, col=40, halo=112)
        assert np.std(plain.probability) > 0.1
        np.testing.assert_allclose(answer.probability, plain.probability, atol=1e-4)
        np.testing.assert_allclose(answer.uncertainty, plain.uncertainty, atol=1e-4)

        monkeypatch.setattr(models, "_network", lambda *_: pytest.fail("it is kept"))
        again = load(folder, "cpu").predict(*arrays, row=40, col=40, halo=112)
        np.testing.assert_array_equal(again.probability, answer.probability)
    finally:
        torch.set_num_threads(1)


def test_the_tokens_of_an_absent_sensor_are_left_out(
    tiny: nn.Module, manifest_of: Callable[..., Manifest]
) -> None:
    """Against the network with terratorch's own call; an absent sensor is not one with a value of 0."""
    generator = torch.Generator().manual_seed(2)
    optical, radar, dem = (torch.randn(1, bands, 112, 112, generator=generator) for bands in (12, 2, 1))
    with torch.inference_mode():
        expected = tiny({"S1RTC": radar, "DEM": dem}).output
        without = network.logits(tiny, "rtc", None, radar, dem)
        torch.testing.assert_close(without, expected.view_as(without))
        zeros = network.logits(tiny, "rtc", torch.zeros_like(optical), radar, dem)
        assert (zeros - without).abs().mean() > 0.05
        whole = network.Chips(copy.deepcopy(tiny), manifest_of()).eval()
        part = network.Chips(copy.deepcopy(tiny), manifest_of(), 6).eval()
        torch.testing.assert_close(whole(None, radar, dem)[:, 0], without)
        torch.testing.assert_close(part(radar, dem), whole(None, radar, dem))


def test_a_network_of_fewer_modalities_takes_those_it_has(manifest_of: Callable[..., Manifest]) -> None:
    shape = manifest_of().architecture
    assert shape is not None
    own = network.build_network(shape.model_copy(update={"modalities": ("DEM", "S1")}), "rtc").eval()
    generator = torch.Generator().manual_seed(2)
    optical, radar, dem = (torch.randn(1, bands, 112, 112, generator=generator) for bands in (12, 2, 1))
    with torch.inference_mode():
        both = network.logits(own, "rtc", optical, radar, dem)
        torch.testing.assert_close(network.logits(own, "rtc", None, radar, dem), both)
        alone = network.logits(own, "rtc", optical, radar, None)
        assert alone.shape == both.shape and not torch.allclose(alone, both)


def test_programs_have_a_name_of_their_own_for_each_set(manifest_of: Callable[..., Manifest]) -> None:
    manifest, able = manifest_of(), manifest_of(fewer=(OPTICAL,))
    assert made_from(manifest) == made_from(able) == made_from(able, 7)
    assert len({made_from(able, code) for code in range(1, 8)}) == 7


def test_chips_go_to_the_program_of_their_sensors(manifest_of: Callable[..., Manifest]) -> None:
    shape = manifest_of().architecture
    assert shape is not None
    given: list[tuple[int, list[int]]] = []

    def make(code: int) -> Callable[..., Tensor]:
        def forward(*chips: Tensor) -> Tensor:
            given.append((code, [part.shape[1] for part in chips]))
            return chips[0]

        return forward

    chips = [torch.zeros(1, bands, 4, 4) for bands in (12, 2, 1)]
    programs = Programs(manifest_of(), make)
    programs(*chips)
    programs(chips[0], None, chips[2])
    programs(None, *chips[1:])
    assert given == [(7, [12, 2, 1]), (5, [12, 1]), (6, [2, 1])]
    given.clear()
    two = Programs(manifest_of(architecture=shape.model_copy(update={"modalities": ("S2L2A", "DEM")})), make)
    two(*chips)
    two(chips[0], None, None)
    assert given == [(5, [12, 1]), (1, [12])]


def test_a_program_is_made_once_and_while_no_other_runs(manifest_of: Callable[..., Manifest]) -> None:
    """Two models and four threads: no forward pass of either runs while a program of any is made."""
    lock, running, wrong, made = threading.Lock(), [0], [], []

    def forward(*chips: Tensor) -> Tensor:
        with lock:
            running[0] += 1
        time.sleep(0.002)
        with lock:
            running[0] -= 1
        return chips[0]

    def make(code: int) -> Callable[..., Tensor]:
        made.append(code)
        for _ in range(5):
            wrong.extend([code] * (running[0] > 0))
            time.sleep(0.002)
        assert not torch.is_inference_mode_enabled()
        return forward

    both = [Programs(manifest_of(), make) for _ in range(2)]
    chips = [torch.zeros(1, bands, 4, 4) for bands in (12, 2, 1)]

    def run(number: int) -> None:
        code = (7, 7, 1, 7, 5, 6, 7, 3)[number // 8]
        with torch.inference_mode():
            both[number % 2](*(part if code >> bit & 1 else None for bit, part in enumerate(chips)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(64)))
    assert not wrong
    assert sorted(made) == sorted([7, 1, 5, 6, 3] * 2)
