"""The real TerraMind-tiny with seeded random weights: saving, loading, and dense prediction."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from segmenter import network
from segmenter.errors import ManifestError, SegmenterError, WeightsError
from segmenter.manifest import WEIGHTS_FILE, Architecture, Manifest, digest_of, read_manifest
from segmenter.members import dropout_masks
from segmenter.model import Model, _read_weights, load, save
from segmenter.program import kept_program, made_from
from segmenter.protocol import Segmenter

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.segmenter.conftest import Stack


@pytest.fixture(scope="module")
def model(tiny: nn.Module, manifest_of: Callable[..., Manifest]) -> Model:
    """Windows of half the usual edge, which are a quarter of the work."""
    return model_of(tiny, manifest_of(chip=112, stride=80, sigma=28))


def model_of(tiny: nn.Module, manifest: Manifest, batch: int = 1) -> Model:
    """A model around the network itself, without a folder."""
    return Model(manifest, network.Chips(copy.deepcopy(tiny), manifest), torch.device("cpu"), batch=batch)


def tiled(model: Segmenter, stack: Stack, halo: int, core: int, pieces: int) -> np.ndarray:
    answer = np.full((core, core), -1, np.float32)
    size = core // pieces
    for top in range(0, core, size):
        for left in range(0, core, size):
            read = stack.cut(slice(top, top + size + 2 * halo), slice(left, left + size + 2 * halo))
            answer[top : top + size, left : left + size] = model.predict(
                *read, row=371_000 + top, col=52_210 + left, halo=halo
            ).probability
    return answer


def test_one_four_or_sixteen_tiles_give_the_same_probabilities(
    model: Model, stack_of: Callable[..., Stack]
) -> None:
    halo, core = 112, 288
    stack = stack_of(core + 2 * halo, core + 2 * halo)
    stack.optical[:, 150:230, 170:290] = np.nan
    stack.radar[:, 300:, :40] = np.nan
    whole = tiled(model, stack, halo, core, 1)
    assert np.nanstd(whole) > 0.1
    assert np.isnan(whole).mean() == pytest.approx(80 * 120 / core**2)
    for pieces in (2, 4):
        np.testing.assert_array_equal(tiled(model, stack, halo, core, pieces), whole)


def test_windows_of_the_usual_size_too(
    tiny: nn.Module, manifest_of: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = model_of(tiny, manifest_of())
    stack = stack_of(96 + 448, 96 + 448)
    whole = tiled(model, stack, 224, 96, 1)
    np.testing.assert_array_equal(tiled(model, stack, 224, 96, 2), whole)


def test_batches_do_not_change_the_logits(
    tiny: nn.Module, manifest_of: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    stack = stack_of(100 + 224, 100 + 224)
    manifest = manifest_of(chip=112, stride=80, sigma=28)
    one, many = (
        model_of(tiny, manifest, size).predict(
            stack.optical, stack.radar, stack.dem, row=40, col=40, halo=112
        )
        for size in (1, 16)
    )
    np.testing.assert_allclose(one.probability, many.probability, atol=1e-5, rtol=0)
    np.testing.assert_allclose(one.uncertainty, many.uncertainty, atol=1e-5, rtol=0)


def test_reduced_matmul_precision_of_the_process_has_no_effect(
    model: Model, stack_of: Callable[..., Stack]
) -> None:
    stack = stack_of(60 + 224, 60 + 224)
    arrays = (stack.optical, stack.radar, stack.dem)
    expected = model.predict(*arrays, row=40, col=40, halo=112)
    torch.set_float32_matmul_precision("medium")
    answer = model.predict(*arrays, row=40, col=40, halo=112)
    np.testing.assert_array_equal(answer.probability, expected.probability)
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_scene_smaller_than_a_window(model: Model, stack_of: Callable[..., Stack]) -> None:
    padded = stack_of(30, 50).padded(112)
    answer = model.predict(padded.optical, padded.radar, padded.dem, row=7, col=7, halo=112).probability
    assert answer.shape == (30, 50)
    assert np.isfinite(answer).all()


def chips(count: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    optical, radar, dem = (torch.randn(count, bands, 224, 224, generator=generator) for bands in (12, 2, 1))
    return optical, radar, dem


def test_a_saved_model_is_loaded_with_half_precision_weights(tiny: nn.Module, tiny_folder: Path) -> None:
    model = load(tiny_folder, device="cpu")
    stored = load_file(tiny_folder / WEIGHTS_FILE)
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    assert (tiny_folder / WEIGHTS_FILE).stat().st_size < 20e6
    with torch.inference_mode():
        expected = network.logits(tiny, "rtc", *chips())
    assert expected.shape == (2, 224, 224)
    output = model.logits(*chips())
    assert output.shape == (2, 1 + model.manifest.passes, 224, 224)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output[:, 0], expected, rtol=0.02, atol=0.02)


def test_full_precision_weights_are_restored_exactly(
    tiny: nn.Module, manifest_of: Callable[..., Manifest], tmp_path: Path
) -> None:
    written = save(tmp_path, tiny, manifest_of(), half=False)
    assert written.digest == digest_of(tmp_path / WEIGHTS_FILE)
    model = load(tmp_path, device="cpu")
    assert model.manifest == written
    with torch.inference_mode():
        expected = network.logits(tiny, "rtc", *chips())
    assert expected.std() > 1
    torch.testing.assert_close(model.logits(*chips())[:, 0], expected, rtol=0, atol=5e-5)


def test_dropout_passes_are_the_head_with_channels_left_out(
    tiny: nn.Module, manifest_of: Callable[..., Manifest]
) -> None:
    """Compared with torch's channel dropout: the masks are applied to the head by hand."""
    manifest = manifest_of(passes=5, dropout=0.25)
    masks = dropout_masks(64, 5, 0.25)
    assert (masks == 0).sum(1).tolist() == [16] * 5
    assert (masks[:4] == 0).sum(0).tolist() == [1] * 64  # each once before any twice
    with torch.inference_mode():
        output = network.Chips(copy.deepcopy(tiny), manifest).eval()(*chips(1))
        for number, mask in enumerate(masks, 1):
            by_hand = copy.deepcopy(tiny)
            head = by_hand.head.head
            head[1] = nn.Conv2d(64, 64, 1, groups=64, bias=False)
            head[1].weight = nn.Parameter(torch.from_numpy(mask)[:, None, None, None])
            expected = network.logits(by_hand, "rtc", *chips(1))
            torch.testing.assert_close(output[:, number], expected, rtol=0, atol=1e-4)
    assert output[:, 1:].std(1).mean() > 1e-3


@pytest.fixture
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of programs, with a key of its own; returns its folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "cache" / "lake-monitor"


def programs(cache: Path) -> dict[Path, int]:
    """The programs of a cache, with the times at which they were made."""
    return {path: path.stat().st_ctime_ns for path in cache.glob("*.pt2")}


def test_a_program_is_kept_and_only_believed_as_this_installation_wrote_it(
    tiny_folder: Path, tmp_path: Path, private_cache: Path, manifest_of: Callable[..., Manifest]
) -> None:
    """The folder's own `program.pt2`, and files of the cache that were changed, are never opened."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    first = load(folder, "cpu").logits(*chips(1))
    (path,) = programs(private_cache)
    made = path.read_bytes()
    assert load(folder, "cpu").logits(*chips(1)).equal(first)
    assert path.read_bytes() == made

    other, elsewhere = tmp_path / "other", read_manifest(folder)
    swapped = torch.export.export(Constant(elsewhere.passes), chips(1))
    torch.export.save(swapped, other)
    for place in (folder / "program.pt2", path):
        place.write_bytes(other.read_bytes())
        assert load(folder, "cpu").logits(*chips(1)).equal(first), f"the swapped {place} was believed"
    assert kept_program(elsewhere) is not None, "it was made again"


class Constant(nn.Module):
    """Another program: the same logit everywhere."""

    def __init__(self, passes: int) -> None:
        super().__init__()
        self.passes = passes

    def forward(self, optical: torch.Tensor, radar: torch.Tensor, dem: torch.Tensor) -> torch.Tensor:
        return dem.expand(-1, 1 + self.passes, -1, -1) * 0 - 9


class Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_no_pickle_of_a_model_folder_is_opened(
    tiny_folder: Path, tmp_path: Path, private_cache: Path
) -> None:
    folder, witness = tmp_path / "model", tmp_path / "it ran"
    shutil.copytree(tiny_folder, folder)
    manifest = read_manifest(folder)
    for name in ("program.pt2", "program.pt", f"{made_from(manifest)}.pt2", "training_args.bin"):
        torch.save(Runs(witness), folder / name)
    private_cache.mkdir(parents=True)
    torch.save(Runs(witness), private_cache / f"{made_from(manifest)}.pt2")
    load(folder, "cpu")
    assert not witness.exists()
    torch.load(folder / "program.pt2", weights_only=False)
    assert witness.exists(), "the test can see it"


def test_a_program_is_of_one_manifest(manifest_of: Callable[..., Manifest]) -> None:
    some = manifest_of()
    others = [manifest_of(passes=2), manifest_of(digest=f"sha256:{1:064}"), manifest_of(dropout=0.2)]
    assert len({made_from(each) for each in (some, *others)}) == 4
    assert made_from(some) == made_from(manifest_of(name="another name", threshold=0.4))


def test_weights_that_change_while_they_are_read_are_refused(
    tiny_folder: Path, tmp_path: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    manifest = read_manifest(folder)
    path = folder / WEIGHTS_FILE
    save_file({name: value * 2 for name, value in load_file(path).items()}, path)
    with pytest.raises(WeightsError, match=r"model\.safetensors: was changed while it was read"):
        _read_weights(path, manifest.digest)


def test_weights_that_are_not_finite_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    stored = load_file(folder / WEIGHTS_FILE)
    stored["head.head.2.bias"] = torch.full_like(stored["head.head.2.bias"], torch.nan)
    save_file(stored, folder / WEIGHTS_FILE)
    manifest = folder / "manifest.json"
    manifest.write_text(
        json.dumps(json.loads(manifest.read_text()) | {"digest": digest_of(folder / WEIGHTS_FILE)})
    )
    with pytest.raises(WeightsError, match=r"1 weights are not finite, head\.head\.2\.bias among them"):
        load(folder, "cpu")


def test_an_exported_program_needs_neither_terratorch_nor_torchvision(tiny_folder: Path) -> None:
    load(tiny_folder, "cpu")
    code = (
        "import sys; from segmenter.opening import open_segmenter; open_segmenter(sys.argv[1:], 'cpu'); "
        "print(sorted({'terratorch', 'torchvision', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, tiny_folder], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"


def test_weights_too_large_for_half_precision_keep_their_precision(
    manifest_of: Callable[..., Manifest], tmp_path: Path
) -> None:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 1e6)
    save(tmp_path, layer, manifest_of())
    stored = load_file(tmp_path / WEIGHTS_FILE)
    assert stored["weight"].item() == 1e6
    assert stored["bias"].dtype == torch.float16


def test_grd_and_rtc_are_different_embeddings(tiny: nn.Module, manifest_of: Callable[..., Manifest]) -> None:
    """A model of one kind cannot load the other's weights."""
    architecture = manifest_of().architecture.model_copy(update={"decoder_scale_modules": True})
    published = network.build_network(architecture, "grd")
    names = published.state_dict().keys()
    assert any("sen1grd" in name for name in names)
    assert not any("sen1rtc" in name for name in names)
    assert any(name.startswith("decoder.fpn1") for name in names)
    assert any("sen1rtc" in name for name in tiny.state_dict())
    with torch.inference_mode():
        assert network.logits(published.eval(), "grd", *chips(1)).shape == (1, 224, 224)


def test_weights_of_another_architecture_are_refused_by_name(
    tiny: nn.Module, manifest_of: Callable[..., Manifest], tmp_path: Path
) -> None:
    wider = Architecture(backbone="terramind_v1_tiny", indices=(2, 5, 8, 11), decoder_channels=32)
    save(tmp_path, tiny, manifest_of(architecture=wider))
    with pytest.raises(WeightsError, match=r"architecture: \d+ weights do not fit .*must be \("):
        load(tmp_path, device="cpu")


def test_missing_and_unknown_weights_are_refused_by_name(
    tiny: nn.Module, tiny_folder: Path, manifest_of: Callable[..., Manifest], tmp_path: Path
) -> None:
    weights = load_file(tiny_folder / WEIGHTS_FILE)
    first = sorted(weights)[0]
    renamed = {("another" if name == first else name): value for name, value in weights.items()}
    save(tmp_path, tiny, manifest_of())
    save_file(renamed, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ManifestError, match="digest"):
        load(tmp_path, device="cpu")
    manifest = manifest_of(digest=digest_of(tmp_path / WEIGHTS_FILE))
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    with pytest.raises(WeightsError, match=rf"2 weights do not fit.*another is not part.*{first} is missing"):
        load(tmp_path, device="cpu")


def test_truncated_weights_are_refused(
    tiny_folder: Path, manifest_of: Callable[..., Manifest], tmp_path: Path
) -> None:
    content = (tiny_folder / WEIGHTS_FILE).read_bytes()
    (tmp_path / WEIGHTS_FILE).write_bytes(content[:5000])
    manifest = manifest_of(digest=digest_of(tmp_path / WEIGHTS_FILE))
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be read as safetensors"):
        load(tmp_path, device="cpu")


def test_an_interrupted_save_is_refused(
    tiny: nn.Module, tiny_folder: Path, manifest_of: Callable[..., Manifest], tmp_path: Path
) -> None:
    """New weights beside the old manifest: the state after a power failure between the two writes."""
    shutil.copytree(tiny_folder, tmp_path / "model")
    folder = tmp_path / "model"
    save_file({name: value + 1 for name, value in tiny.state_dict().items()}, folder / WEIGHTS_FILE)
    with pytest.raises(ManifestError, match="digest: is sha256:"):
        load(folder, device="cpu")


@pytest.mark.parametrize(
    ("device", "half", "named"),
    [
        ("abacus", False, "device: 'abacus' cannot be used"),
        pytest.param(
            "cuda", False, "device: 'cuda' cannot be used",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device"),
        ),
    ],
)  # fmt: skip
def test_a_missing_device_is_refused(tiny_folder: Path, device: str, half: bool, named: str) -> None:
    with pytest.raises(SegmenterError, match=named):
        load(tiny_folder, device=device, half=half)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-3), (True, 0.1)])
def test_gpu_and_cpu_give_equal_results(
    tiny_folder: Path, stack_of: Callable[..., Stack], half: bool, tolerance: float
) -> None:
    stack = stack_of(64 + 448, 64 + 448)
    arrays = (stack.optical, stack.radar, stack.dem)
    expected = load(tiny_folder, "cpu").predict(*arrays, row=0, col=0, halo=224)
    answer = load(tiny_folder, "cuda", half=half).predict(*arrays, row=0, col=0, halo=224)
    np.testing.assert_allclose(answer.probability, expected.probability, atol=tolerance)
