"""Checkpoints of other programs become models with equal logits; unreadable or unsafe ones are refused."""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

import tests.support.checkpoints as made
from segmenter.checkpoint import Checkpoint, own_name, read_checkpoint
from segmenter.conversion import (
    build_imported,
    checkpoint_logits,
    imported_logits,
    random_chips,
    spread_bands,
    water_class,
)
from segmenter.draft import complete, read_draft
from segmenter.errors import CheckpointError, ManifestError
from segmenter.manifest import OPTICAL_BANDS, Architecture, Manifest
from segmenter.model import load, save
from segmenter.network import build_network, last_convolution, logits
from segmenter.recognise import BANDS, Found, recognise
from segmenter.registry import read_registry
from segmenter.vision_ops import name_missing_vision_ops

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
TOLERANCE = 1e-5
SIZES = [("terramind_v1_small", (2, 5, 8, 11)), ("terramind_v1_large", (5, 11, 17, 23))]


def found_in(checkpoint: Checkpoint) -> Found:
    shapes = {name: tuple(value.shape) for name, value in checkpoint.weights.items()}
    return recognise(shapes, checkpoint.arguments)


def imported(path: Path, **draft: Any) -> tuple[nn.Module, Manifest, Checkpoint]:
    """Read, recognise and convert a checkpoint."""
    checkpoint = read_checkpoint(path)
    found = found_in(checkpoint)
    manifest = complete(yaml.safe_load(made.DRAFT) | draft, "m", found, {}, "draft.yaml")
    water = water_class(found, checkpoint.class_names, "1" if found.classes == 2 else None)
    return build_imported(checkpoint, found, manifest, water), manifest, checkpoint


def model_logits(network: nn.Module, manifest: Manifest, chips: dict[str, Tensor]) -> Tensor:
    """Logits of an imported network for chips by terratorch's names. Missing inputs are noise."""
    rest = {name: torch.randn(1, bands, 224, 224) for name, bands in made.BANDS.items()}
    kind = manifest.inputs.S1.kind
    radar = "S1GRD" if kind == "grd" else "S1RTC"
    have = rest | chips
    with torch.inference_mode():
        return logits(network, kind, have["S2L2A"], have[radar], have["DEM"])


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    return made.make_reference()


@pytest.fixture(scope="module")
def reference_file(reference: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.save_reference(reference, tmp_path_factory.mktemp("reference") / "soup.ckpt")


def test_a_trained_task_of_terratorch_has_equal_logits(tmp_path: Path) -> None:
    task = made.make_task(made.auxiliary_head(), head_dropout=0.1)
    path = made.fit_and_save(task, tmp_path / "last.ckpt")  # saves the averaged weights in the task
    network, manifest, checkpoint = imported(path)
    chips = made.chips_for(task.model)
    expected = made.water_logits(task.model, chips)
    assert expected.std() > made.SPREAD / 2
    assert (model_logits(network, manifest, chips) - expected).abs().max() <= TOLERANCE
    assert last_convolution(network).out_channels == 1
    dropped = {part.what: part for part in checkpoint.dropped}
    assert {"aux_heads", "optimizer_states", "current_model_state", "averaging_state"} <= dropped.keys()
    assert dropped["current_model_state"].size > 20e6
    assert checkpoint.facts["global_step"] == 1


def test_the_published_layout_has_equal_logits(
    reference: nn.Module, reference_file: Path, tmp_path: Path
) -> None:
    network, manifest, checkpoint = imported(reference_file, architecture={"indices": [2, 5, 8, 11]})
    architecture = manifest.architecture
    assert architecture is not None
    assert (architecture.decoder_channels, architecture.decoder_scale_modules) == (256, True)
    assert {part.what for part in checkpoint.dropped} == {"loss", "ema"}
    save(tmp_path, network, manifest, half=False)
    noise = random_chips(manifest)
    chips = {"S2L2A": noise["S2L2A"], "S1GRD": noise["S1"], "DEM": noise["DEM"]}
    expected = made.water_logits(reference, chips)
    assert expected.std() > made.SPREAD / 2
    assert (imported_logits(tmp_path, noise) - expected).abs().max() <= TOLERANCE
    own = checkpoint_logits(checkpoint, found_in(checkpoint), manifest, 0, noise)
    assert (own - expected).abs().max() <= TOLERANCE


TEN = ["BLUE", "GREEN", "RED", "RED_EDGE_1", "RED_EDGE_2", "RED_EDGE_3", "NIR_BROAD", "NIR_NARROW", "SWIR_1",
       "SWIR_2"]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"decoder": "UNetDecoder", "decoder_channels": [32, 16, 8, 8], "head_channel_list": [12, 8],
         "backbone_modalities": ["S2L2A", "S1RTC", "DEM"]},
        {"decoder": "FCNDecoder", "decoder_num_convs": 1, "backbone_modalities": ["DEM", "S2L2A"],
         "backbone_merge_method": "concat", "necks": [{"name": "ReshapeTokensToImage"}]},
        {"decoder": "IdentityDecoder", "decoder_channels": None, "necks": made.NECKS[:2],
         "backbone_modalities": ["S2L2A"], "backbone_bands": {"S2L2A": TEN}, "backbone_img_size": 256},
    ],
    ids=["unet-rtc", "fcn-concat-two", "identity-bands"],
)  # fmt: skip
def test_other_tasks_of_terratorch_have_equal_logits(tmp_path: Path, changes: dict[str, Any]) -> None:
    task = made.make_task(**changes)
    draft = yaml.safe_load(made.DRAFT)
    if "backbone_bands" in changes:
        draft["inputs"]["S2L2A"] |= {"mean": [2000.0] * 10, "std": [800.0] * 10}
    if changes["backbone_modalities"][1:] != ["S1RTC", "DEM"]:
        draft["inputs"]["S1"] = {"kind": "rtc"}  # not used by the network, but required to select a catalogue
    network, manifest, _ = imported(made.save_task(task, tmp_path / "a.ckpt"), inputs=draft["inputs"])
    own = made.chips_for(task.model)
    expected = made.water_logits(task.model, own)
    given = dict(own)
    if "backbone_bands" in changes:
        given["S2L2A"] = torch.randn(1, 12, 224, 224)
        given["S2L2A"][:, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]] = own["S2L2A"]
    assert expected.std() > made.SPREAD / 2
    assert (model_logits(network, manifest, given) - expected).abs().max() <= TOLERANCE
    save(tmp_path / "model", network, manifest, half=False)
    noise = random_chips(manifest)
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    again = checkpoint_logits(checkpoint, found_in(checkpoint), manifest, 1, noise)
    assert (imported_logits(tmp_path / "model", noise) - again).abs().max() <= TOLERANCE


@pytest.mark.prove
@pytest.mark.parametrize(("backbone", "indices"), SIZES)
def test_larger_networks_of_the_published_layout(
    tmp_path: Path, backbone: str, indices: tuple[int, ...]
) -> None:
    own = made.make_reference(backbone, indices)
    path = made.save_reference(own, tmp_path / "soup.ckpt")
    chips = {name: chip[:1] for name, chip in made.chips_for(own).items()}
    expected = made.water_logits(own, chips)
    del own
    network, manifest, _ = imported(path, architecture={"backbone": backbone, "indices": list(indices)})
    save(tmp_path / "model", network, manifest, half=False)
    difference = (model_logits(network, manifest, chips) - expected).abs().max()
    del network
    program = load(tmp_path / "model", "cpu").logits(chips["S2L2A"], chips["S1GRD"], chips["DEM"])[:, 0]
    print(f"{backbone}: spread of logits {expected.std():.2f}, largest difference {difference:.2g}; "
          f"{(program - expected).abs().max():.2g} as the exported program")  # fmt: skip
    assert expected.std() > made.SPREAD / 2
    assert difference <= TOLERANCE


@pytest.mark.prove
@pytest.mark.parametrize(("backbone", "indices"), SIZES)
def test_larger_tasks_of_terratorch(tmp_path: Path, backbone: str, indices: tuple[int, ...]) -> None:
    necks = [{"name": "SelectIndices", "indices": list(indices)}, *made.NECKS[1:]]
    task = made.make_task(backbone=backbone, necks=necks, decoder_channels=256, decoder_scale_modules=True)
    path = made.save_task(task, tmp_path / "a.ckpt")
    chips = made.chips_for(task.model)
    expected = made.water_logits(task.model, chips)
    del task
    network, manifest, _ = imported(path)
    difference = (model_logits(network, manifest, chips) - expected).abs().max()
    print(
        f"{backbone}, a task of two classes: spread {expected.std():.2f}, largest difference {difference:.2g}"
    )
    assert expected.std() > made.SPREAD / 2
    assert difference <= TOLERANCE


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model.encoder.norm.weight", "encoder.norm.weight"),
        ("model._orig_mod.encoder.norm.weight", "encoder.norm.weight"),
        ("_orig_mod.model.encoder.norm.weight", "encoder.norm.weight"),
        ("module.model._orig_mod.decoder._orig_mod.fpn1.0.bias", "decoder.fpn1.0.bias"),
        ("encoder.encoder.0.model.weight", "encoder.encoder.0.model.weight"),
        ("model_ema.encoder.norm.weight", "model_ema.encoder.norm.weight"),
    ],
)
def test_prefixes_are_stripped(key: str, name: str) -> None:
    assert own_name(key) == name


class RunsCode:
    """Runs code when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (f"open({str(self.trace)!r}, 'w').close()",)


def test_code_in_a_checkpoint_runs_only_with_the_unsafe_option(tmp_path: Path) -> None:
    trace = tmp_path / "was run"
    weights = {"model.head.head.2.bias": torch.zeros(1)}
    torch.save({"state_dict": weights, "hyper_parameters": {"loss": RunsCode(trace)}}, tmp_path / "rich.ckpt")
    with pytest.raises(CheckpointError, match=r"holds objects of .*exec.*--unsafe-pickle") as caught:
        read_checkpoint(tmp_path / "rich.ckpt")
    assert str(tmp_path / "rich.ckpt") in str(caught.value)
    assert not trace.exists()
    assert read_checkpoint(tmp_path / "rich.ckpt", unsafe=True).weights.keys() == {"head.head.2.bias"}
    assert trace.exists()


def test_missing_classes_are_named_and_not_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ModuleType("their_training")
    exec("class Ema:\n    def __init__(self):\n        self.decay = 0.999", gone.__dict__)
    gone.Ema.__module__ = "their_training"
    monkeypatch.setitem(sys.modules, "their_training", gone)
    weights = {"model.head.head.2.bias": torch.zeros(1)}
    torch.save({"state_dict": weights, "callbacks": {"ema": gone.Ema()}}, tmp_path / "rich.ckpt")
    monkeypatch.delitem(sys.modules, "their_training")
    with pytest.raises(CheckpointError, match=r"objects of their_training\.Ema, "):
        read_checkpoint(tmp_path / "rich.ckpt")
    assert read_checkpoint(tmp_path / "rich.ckpt", unsafe=True).weights.keys() == {"head.head.2.bias"}


def test_harmless_values_are_read(tmp_path: Path) -> None:
    name_missing_vision_ops()
    from terratorch.datasets.utils import HLSBands

    arguments = {"backbone": "terramind_v1_tiny", "backbone_bands": {"S2L2A": [HLSBands.BLUE, HLSBands.RED]}}
    hyper = {"root": tmp_path, "best": np.float64(0.9), "mean": np.ones(3), "given": argparse.Namespace(a=1),
             "model_args": arguments, "class_names": ["Land", "Water"]}  # fmt: skip
    torch.save(
        {"state_dict": {"head.head.2.bias": torch.zeros(1)}, "hyper_parameters": hyper}, tmp_path / "a.ckpt"
    )
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint.class_names == ("Land", "Water")
    assert checkpoint.arguments is not None
    assert checkpoint.arguments["backbone_bands"] == {"S2L2A": ["BLUE", "RED"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"model.backbone.weight": torch.zeros(1)}}, "no network of terratorch.*backbone"),
        ({"state_dict": {}}, "no network of terratorch"),
        ({"weights": 1, "epoch": 2}, "has no state_dict, only weights, epoch"),
        ({"state_dict": dict.fromkeys(("model.head.b", "head.b"), torch.ones(1))}, "several weights for"),
        ({"state_dict": {"head.b": torch.tensor([1.0, float("nan")])}}, r"head\.b is not finite"),
        ({"state_dict": {"head.b": torch.zeros(1)}, "hyper_parameters": {"model_factory": "TimmFactory"}},
         "model_factory: TimmFactory is not supported"),
        ([torch.zeros(1)], "holds a list"),
    ],
)  # fmt: skip
def test_other_content_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(tmp_path / "a.ckpt")
    assert str(tmp_path / "a.ckpt") in str(caught.value)


def test_files_of_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "a.ckpt")
    (tmp_path / "a.ckpt").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="Git LFS"):
        read_checkpoint(tmp_path / "a.ckpt")
    (tmp_path / "a.ckpt").write_bytes(pickle.dumps({"state_dict": {}}))
    with pytest.raises(CheckpointError, match="is not a checkpoint that torch wrote"):
        read_checkpoint(tmp_path / "a.ckpt", unsafe=True)
    torch.save({"state_dict": {"head.b": torch.zeros(10**6)}}, tmp_path / "a.ckpt")
    whole = (tmp_path / "a.ckpt").read_bytes()
    (tmp_path / "a.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cut short"):
        read_checkpoint(tmp_path / "a.ckpt")


@pytest.fixture(scope="module")
def shapes(reference: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in reference.state_dict().items()}


GRD = "encoder.encoder_embeddings.untok_sen1grd@224."
OPTICAL = "encoder.encoder_embeddings.untok_sen2l2a@224."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "terramind_v1_base_tim"}, "backbone: terramind_v1_base_tim is not supported"),
        ({"backbone": "prithvi_eo_v2_300"}, "backbone: prithvi_eo_v2_300 is not supported"),
        ({"peft_config": {"method": "LORA"}}, "model_args: peft_config=.* is not supported"),
        ({"rescale": False}, "model_args: rescale=False is not supported"),
        ({"backbone_use_temporal": True}, "model_args: backbone_use_temporal=True is not supported"),
        ({"head_kwargs": {"activation": "relu"}}, "model_args: head_activation='relu' is not supported"),
    ],
)
def test_arguments_of_unknown_effect_are_refused(
    shapes: dict[str, tuple[int, ...]], changes: dict[str, Any], message: str
) -> None:
    recognise(shapes, made.TINY)
    with pytest.raises(CheckpointError, match=message):
        recognise(shapes, made.TINY | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{GRD.replace('grd', 'rtc')}proj.weight": (192, 512)}, "S1GRD and S1RTC at once"),
        ({f"{GRD.replace('sen1grd', 'ndvi')}proj.weight": (192, 256)}, "untok_ndvi@224 is not supported"),
        ({f"{OPTICAL}proj.weight": (192, 256 * 6)}, "backbone_bands: S2L2A: the checkpoint takes 6 bands"),
        ({"encoder.encoder.12.norm1.weight": (192,)}, "no TerraMind has 13 blocks of 192 channels"),
        ({"head.head.2.weight": None}, "has a head of its own"),
    ],
)
def test_shapes_of_no_model_are_refused(
    shapes: dict[str, tuple[int, ...]], changes: dict[str, tuple[int, ...] | None], message: str
) -> None:
    spoilt = {name: shape for name, shape in (shapes | changes).items() if shape is not None}
    with pytest.raises(CheckpointError, match=message):
        recognise(spoilt)
    with pytest.raises(CheckpointError, match="not TerraMind's"):
        recognise({"encoder.patch_embed.weight": (3, 3), "head.head.2.weight": (1, 3, 1, 1)})


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        ({}, r"draft\.yaml: architecture: indices: give either the encoder blocks"),
        ({"architecture": {"indices": [2, 5, 8, 11], "decoder_channels": 64}},
         r"architecture\.decoder_channels: is 64, but the checkpoint has 256"),
        ({"architecture": {"indices": [2, 5, 8, 11], "backbone": "terramind_v1_large"}},
         r"architecture\.backbone: is terramind_v1_large, but the checkpoint has terramind_v1_tiny"),
        ({"architecture": {"indices": [2, 5, 8, 11]}, "license": None}, r"draft\.yaml: license: "),
        ({"architecture": {"indices": [2, 5, 8, 11]}, "inputs": {}},
         r"inputs\.S2L2A\.mean: Field required.*inputs\.S1\.std: Field required"),
        ({"architecture": {"indices": [2, 5, 8, 11]}, "inputs": {"S1": {"kind": "rtc"}}},
         r"inputs\.S1\.kind: is 'rtc', but the checkpoint embeds backscatter as 'grd'"),
        ({"architecture": {"indices": [2, 5, 8, 11]}, "name": "other"}, r"name: is 'other'.*imported as 'm'"),
        ({"architecture": {"indices": [2, 5, 8, 11]}, "chips": 224}, r"chips: Extra inputs"),
    ],
)  # fmt: skip
def test_an_incomplete_or_contradictory_draft_is_refused_with_the_field(
    shapes: dict[str, tuple[int, ...]], draft: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        complete(yaml.safe_load(made.DRAFT) | draft, "m", recognise(shapes), {}, "draft.yaml")


def test_an_imported_model_was_validated_for_the_sets_that_its_draft_states(
    shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    found = recognise(shapes, made.TINY)
    plain = complete(yaml.safe_load(made.DRAFT), "m", found, {}, "draft.yaml")
    assert plain.fewer == () and plain.set_for(5) is None
    path = tmp_path / "draft.yaml"
    stated = """
fewer:
  - sensors: [S2L2A, DEM]
    threshold: 0.45
    temperature: 1.5
    area_factor: [[20000, 1.8], [100000, 1.1]]
"""
    path.write_text(made.DRAFT + stated)
    manifest = complete(read_draft(path), "m", found, {}, "draft.yaml")
    entry = manifest.set_named(["S2L2A", "DEM"])
    assert manifest.set_for(5) == entry and manifest.set_for(3) is None
    assert entry.area_factor == ((20000, 1.8), (100000, 1.1)) and entry.shift == 0
    path.write_text(made.DRAFT + stated.replace("[S2L2A, DEM]", "[DEM, S2L2A]"))
    with pytest.raises(
        ManifestError, match=r"fewer\.0\.sensors: must be some of S2L2A S1 DEM, in this order"
    ):
        complete(read_draft(path), "m", found, {}, "draft.yaml")


def test_shipped_and_documented_drafts_are_complete(shapes: dict[str, tuple[int, ...]]) -> None:
    registry = read_registry(REPOSITORY / "config" / "models.yaml")
    drafts = {name: entry for name, entry in registry.models.items() if entry.draft is not None}
    assert "cryosentinel-terramind-v3" in drafts
    for name, entry in drafts.items():
        assert entry.draft is not None
        draft = read_draft(REPOSITORY / entry.draft)
        found = Found({"backbone": draft["architecture"]["backbone"]}, 1, entry.s1_kind, dict(BANDS))
        assert complete(draft, name, found, {}, name).inputs.S1.kind == entry.s1_kind
    shown = (REPOSITORY / "docs" / "models.md").read_text().partition("```yaml")[2].partition("```")[0]
    draft = yaml.safe_load(shown)
    assert draft.pop("water_class") == 1
    found = recognise(shapes, made.TINY)
    assert complete(draft, "mine", found, {}, "docs/models.md").inputs.S1.kind == "grd"


def test_weights_that_do_not_match_the_arguments_are_refused(reference_file: Path) -> None:
    checkpoint = read_checkpoint(reference_file)
    found = found_in(checkpoint)
    draft = yaml.safe_load(made.DRAFT) | {"architecture": {"necks": made.NECKS[:2]}}
    manifest = complete(draft, "m", found, {}, "draft.yaml")
    with pytest.raises(CheckpointError, match=r"weights do not fit terramind_v1_tiny with UperNetDecoder"):
        build_imported(checkpoint, found, manifest, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"decoder": "NoDecoder"}, "NoDecoder"), ({"decoder_options": {"colour": "blue"}}, "colour"),
     ({"indices": (2, 5, 8, 12)}, "index out of range")],
)  # fmt: skip
def test_an_architecture_unknown_to_terratorch_is_refused(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"backbone": "terramind_v1_tiny", "indices": (2, 5, 8, 11)}
    with pytest.raises(ManifestError, match=rf"architecture: terratorch cannot build it: .*{message}"):
        build_network(Architecture(**(fields | changes)), "grd")


@pytest.mark.parametrize(
    ("classes", "names", "wanted", "water"),
    [(1, (), None, 0), (2, ("Land", "Water"), None, 1), (2, ("lake", "rest"), None, 0), (2, (), "1", 1),
     (2, (), 0, 0), (2, ("no", "yes"), "Yes", 1)],
)  # fmt: skip
def test_the_class_of_water(
    classes: int, names: tuple[str, ...], wanted: str | int | None, water: int
) -> None:
    assert water_class(Found({}, classes), names, wanted) == water


@pytest.mark.parametrize(
    ("classes", "names", "wanted", "message"),
    [(2, (), None, "has 2 classes; give the name or number"), (2, ("water", "lake"), None,
     r"\(water, lake\)"),
     (2, ("no", "yes"), "2", "there is no '2'"), (3, (), "1", "has 3 classes; only two")],
)  # fmt: skip
def test_an_unclear_class_of_water_is_refused(
    classes: int, names: tuple[str, ...], wanted: str | None, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        water_class(Found({}, classes), names, wanted)


def test_bands_absent_from_a_network_have_zero_weights() -> None:
    projection = torch.arange(2 * 256 * 2.0).reshape(2, -1)
    spread = spread_bands(projection, ("B11", "B03"), OPTICAL_BANDS).reshape(2, 256, 12)
    assert torch.equal(spread[..., [10, 2]], projection.reshape(2, 256, 2))
    assert spread.count_nonzero() == projection.count_nonzero()
