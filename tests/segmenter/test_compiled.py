"""A network compiled ahead of time and kept; here for a processor, which takes the same way as a GPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from segmenter import cache, compiled
from segmenter.manifest import Manifest

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
AGAIN = """
import sys, torch
from pathlib import Path
from segmenter import compiled
from segmenter.manifest import Manifest
def never(): raise AssertionError("it is kept")
compiled.BATCH = 2
manifest = Manifest.model_validate_json(Path(sys.argv[1]).read_bytes())
program = compiled.compiled(manifest, int(sys.argv[4]), torch.device("cpu"), never).forward
with torch.inference_mode():
    torch.save(program(*torch.load(sys.argv[2])), sys.argv[3])
"""


class Small(nn.Module):
    """With parameters, a buffer that is saved and one that is not. Takes `bands` bands of any sensors."""

    def __init__(self, bands: int = 15) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix, self.spread = nn.Conv2d(bands, 3, 1), nn.Conv2d(3, 3, 3, padding=1)
        self.register_buffer("place", torch.randn(1, 3, 16, 16))
        self.register_buffer("gain", torch.randn(3, 1, 1), persistent=False)

    def forward(self, *chips: torch.Tensor) -> torch.Tensor:
        return self.spread(self.mix(torch.cat(chips, 1)) * self.gain + self.place)


@pytest.fixture
def manifest(manifest_of: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setattr(compiled, "BATCH", 2)
    return manifest_of(chip=16, stride=12, sigma=4, passes=2)


@pytest.mark.prove
@pytest.mark.parametrize(("code", "bands"), [(7, 15), (5, 13), (1, 12)])
def test_workers_that_start_at_once_compile_once_and_others_later_not_at_all(
    code: int, bands: int, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def build() -> nn.Module:
        built.append(Small(bands).eval())
        return built[-1]

    # what torch itself compiles may stay in the user's cache: it takes half a minute
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache.place("inductor")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    described = tmp_path / "manifest.json"
    described.write_text(manifest.model_dump_json())
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(compiled.compiled, manifest, code, CPU, build) for _ in range(2)]
        programs = [each.result() for each in both]
    assert len(built) == 1
    chips = compiled.example(manifest, CPU, 2, code)
    assert sum(part.shape[1] for part in chips) == bands
    with torch.inference_mode():
        expected = Small(bands).eval()(*chips)
        for program in programs:
            assert program.batch == 2
            torch.testing.assert_close(program.forward(*chips), expected, rtol=0.01, atol=0.01)
    assert expected.std() > 0.1

    torch.save(chips, tmp_path / "chips.pt")
    answer = tmp_path / "answer.pt"
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, described, tmp_path / "chips.pt", answer, str(code)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(torch.load(answer), programs[0].forward(*chips))


def test_numbers_too_large_for_float16_run_in_bfloat16(
    manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    small, large = Small().eval(), Small().eval()
    with torch.no_grad():
        large.mix.weight.mul_(1e5)
    assert compiled.in_half(small, manifest, CPU).dtype == torch.float16
    assert "bfloat16" not in caplog.text
    half = compiled.in_half(large, manifest, CPU)
    assert half.dtype == torch.bfloat16
    assert "its numbers exceed the range of float16" in caplog.text
    chips = compiled.example(manifest, CPU, 2)
    with torch.inference_mode():
        expected = Small().eval()
        expected.mix.weight.data.mul_(1e5)
        error = half(*chips) - expected(*chips)
        assert float(error.norm() / expected(*chips).norm()) < 0.02
