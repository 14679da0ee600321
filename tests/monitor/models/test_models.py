"""`monitor model`: import of a checkpoint as a model folder. Refusals give the reason and change nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import tests.support.checkpoints as made
from monitor.cli.main import app
from monitor.errors import MonitorError, RefusedError
from monitor.models.importing import Imported, import_model
from monitor.models.listing import list_models
from monitor.models.source import Request, find_source
from monitor.progress import SILENT
from segmenter.errors import CheckpointError, HubError, ManifestError
from segmenter.manifest import MANIFEST_FILE, WEIGHTS_FILE, read_manifest
from segmenter.registry import Registry, read_registry
from tests.support.hub import COMMIT, REPOSITORY, Hub, serving
from tests.support.workspaces import monitor

pytestmark = pytest.mark.slow

FILE = "checkpoints/soup.ckpt"
NAME = "lakes-tiny"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread of torch. On a busy machine two threads block each other and are many times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small task of terratorch, saved by Lightning."""
    task = made.make_task(decoder="FCNDecoder", decoder_channels=8, decoder_num_convs=1)
    return made.save_task(task, tmp_path_factory.mktemp("checkpoint") / "soup.ckpt")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a registry of one model on the hub, and the draft of its manifest."""
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "lakes.yaml").write_text(made.DRAFT + "water_class: 1\n")
    entry = {"use": "production", "s1_kind": "grd", "folder": f"models/{NAME}", "draft": "drafts/lakes.yaml",
             "hub": {"repository": REPOSITORY, "file": FILE}}  # fmt: skip
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"models": {NAME: entry}}))
    return tmp_path


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving(Hub({FILE: checkpoint.read_bytes()})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


def read_registry_with(root: Path, **hub: str) -> Registry:
    """The registry of `root`, with `hub` added to the model's entry."""
    content = yaml.safe_load((root / "models.yaml").read_text())
    content["models"][NAME]["hub"] |= hub
    (root / "models.yaml").write_text(yaml.safe_dump(content))
    return read_registry(root / "models.yaml")


def import_named(root: Path, name: str = NAME, **arguments: Any) -> Imported:
    request, registry = Request(name, **arguments), read_registry_with(root)
    return import_model(request, registry, root, find_source(request, registry), SILENT)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def leftovers(root: Path) -> list[Path]:
    return list((root / "models").glob(".*"))


def test_import_by_registry_name(hub: Hub, root: Path, checkpoint: Path) -> None:
    result = import_named(root)
    manifest = read_manifest(root / "models" / NAME)
    assert result.changed and not result.pinned
    assert result.difference <= 1e-5
    made_of = manifest.training["checkpoint"]
    assert (made_of["repository"], made_of["file"], made_of["revision"]) == (REPOSITORY, FILE, COMMIT)
    assert made_of["sha256"] == digest(checkpoint)
    assert manifest.inputs.S1.kind == "grd"
    assert "soup.ckpt" in (root / "models" / NAME / "README.md").read_text()
    assert leftovers(root) == []
    (entry,) = list_models(read_registry_with(root), root)
    assert (entry.state, entry.version, entry.s1_kind) == ("ready", "1", "grd")


def test_a_second_import_changes_nothing_and_other_weights_need_replace(root: Path, checkpoint: Path) -> None:
    folder = root / "models" / NAME
    import_named(root, checkpoint=checkpoint)
    before = {path.name: digest(path) for path in folder.iterdir()}
    again = import_named(root, checkpoint=checkpoint)
    assert (again.changed, again.pinned) == (False, True)
    with pytest.raises(RefusedError, match=r"its digest would change; --replace"):
        import_named(root, checkpoint=checkpoint, half=True)
    with pytest.raises(RefusedError, match=r"its digest would change; --replace"):
        import_named(root, checkpoint=checkpoint, water_class="0")
    other = root / "other.ckpt"
    other.write_bytes(checkpoint.read_bytes() + b" ")
    with pytest.raises(RefusedError, match=rf"from another checkpoint \(sha256 {digest(checkpoint)}"):
        import_named(root, checkpoint=other)
    assert {path.name: digest(path) for path in folder.iterdir()} == before
    result = import_named(root, checkpoint=checkpoint, half=True, replace=True)
    assert result.changed
    assert (folder / WEIGHTS_FILE).stat().st_size < 0.6 * 24e6
    assert result.difference > 0
    assert leftovers(root) == []


def test_a_digest_other_than_the_pinned_one_is_refused(hub: Hub, root: Path, checkpoint: Path) -> None:
    registry = read_registry_with(root, sha256=64 * "a")
    request = Request(NAME)
    with pytest.raises(HubError, match=rf"sha256: is {digest(checkpoint)}, must be {64 * 'a'}"):
        import_model(request, registry, root, find_source(request, registry), SILENT)
    assert not (root / "models").exists()
    assert import_named(root, sha256=digest(checkpoint).upper()).pinned


def test_a_given_revision_is_fetched(hub: Hub, root: Path) -> None:
    registry = read_registry_with(root, revision=COMMIT)
    find_source(Request(NAME), registry)
    assert hub.requests[0][1] == f"/{REPOSITORY}/resolve/{COMMIT}/{FILE}"
    with pytest.raises(MonitorError, match="has no revision 'v9'"):
        find_source(Request(NAME, revision="v9"), registry)


def test_missing_parts_are_named(root: Path, checkpoint: Path) -> None:
    with pytest.raises(RefusedError, match=r"is not in the registry\. .*has checkpoints of: lakes-tiny"):
        import_named(root, "mine")
    with pytest.raises(RefusedError, match="--manifest: a checkpoint does not contain its license"):
        import_named(root, "mine", checkpoint=checkpoint)
    with pytest.raises(RefusedError, match=r"--checkpoint: there is no file .*absent\.ckpt"):
        import_named(root, checkpoint=root / "absent.ckpt")
    with pytest.raises(RefusedError, match=r"'\.\./mine' is not a valid name"):
        import_named(root, "../mine", checkpoint=checkpoint, draft=root / "drafts" / "lakes.yaml")
    with pytest.raises(ManifestError, match=r"absent\.yaml: cannot be read"):
        import_named(root, "mine", checkpoint=checkpoint, draft=root / "absent.yaml")
    draft = root / "draft.yaml"
    draft.write_text("license: MIT\n")
    with pytest.raises(ManifestError, match=r"draft\.yaml: version: Field required.*inputs\.S2L2A\.mean"):
        import_named(root, "mine", checkpoint=checkpoint, draft=draft)
    draft.write_text(made.DRAFT)
    with pytest.raises(CheckpointError, match="water_class: the checkpoint has 2 classes"):
        import_named(root, "mine", checkpoint=checkpoint, draft=draft)
    assert not (root / "models" / "mine").exists()


def test_other_folders_are_not_changed(root: Path, checkpoint: Path) -> None:
    folder = root / "models" / NAME
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(RefusedError, match="exists, and is not a model folder"):
        import_named(root, checkpoint=checkpoint, replace=True)
    (folder / MANIFEST_FILE).write_text("{}")
    with pytest.raises(RefusedError, match=r"contains a broken model.*--replace"):
        import_named(root, checkpoint=checkpoint)
    assert (folder / "notes.txt").read_text() == "mine"
    (entry,) = list_models(read_registry_with(root), root)
    assert entry.state == "broken" and "version: Field required" in str(entry.problem)


def test_the_commands_print_the_result(
    root: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft, folder = root / "drafts" / "lakes.yaml", root / "mine"
    arguments = ["model", "import", "mine", "--checkpoint", str(checkpoint), "--manifest", str(draft),
             "--folder", str(folder)]  # fmt: skip
    app([*arguments, "--json"], standalone_mode=False)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["changed"], printed["pinned"], printed["folder"]) == (True, False, str(folder))
    assert printed["difference"] <= 1e-5
    assert printed["checkpoint"] == {"file": "soup.ckpt", "sha256": digest(checkpoint), "epoch": 0,
                                     "global_step": 0, "pytorch-lightning_version": "2.6.6"}  # fmt: skip
    app(arguments, standalone_mode=False)
    output = capsys.readouterr()
    assert "was imported before, nothing changed" in output.out
    assert "largest difference of a logit" in output.out
    app(["model", "show", str(folder)], standalone_mode=False)
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["architecture"]["decoder"] == "FCNDecoder"
    app(["model", "show", str(folder), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["manifest"]["name"] == "mine"
    app(["model", "list", "--json"], standalone_mode=False)
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["cryosentinel-terramind-v3"]["use"] == "production"
    app(["model", "list"], standalone_mode=False)
    assert "cryosentinel-terramind-v3" in capsys.readouterr().out
    with pytest.raises(RefusedError, match="'nowhere' is not in the registry"):
        app(["model", "show", "nowhere"], standalone_mode=False)


def test_an_unwritable_folder_is_named(root: Path, checkpoint: Path) -> None:
    folder = root / "models.yaml" / "mine"
    with pytest.raises(MonitorError, match=rf"{folder}: cannot be written \(Not a directory\)"):
        import_named(root, checkpoint=checkpoint, folder=folder)


def test_pickled_objects_need_the_flag_and_give_a_warning(
    root: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content | {"callbacks": {"best": Fraction(9, 10)}}, root / "rich.ckpt")
    arguments = ["model", "import", "mine", "--checkpoint", str(root / "rich.ckpt"), "--manifest",
             str(root / "drafts" / "lakes.yaml"), "--folder", str(root / "mine")]  # fmt: skip
    with pytest.raises(CheckpointError, match=r"holds objects of fractions\.Fraction, .*--unsafe-pickle"):
        app(arguments, standalone_mode=False)
    assert not (root / "mine").exists()
    app([*arguments, "--unsafe-pickle"], standalone_mode=False)
    assert "warning: --unsafe-pickle allows the checkpoint to run" in capsys.readouterr().err
    assert read_manifest(root / "mine").name == "mine"


@pytest.mark.prove
def test_the_published_model_by_its_name(tmp_path: Path) -> None:
    """A checkpoint of the published size and layout, from a local hub, through the command."""
    network = made.make_reference("terramind_v1_large", (5, 11, 17, 23))
    file = "terramind_v3_finetune_almaty_v2/checkpoints/soup.ckpt"
    made.save_reference(network, tmp_path / "soup.ckpt")
    del network
    served = Hub(
        {file: (tmp_path / "soup.ckpt").read_bytes()}, repository="abzal-glw/cryosentinel-terramind-v3"
    )
    name, folder = "cryosentinel-terramind-v3", tmp_path / "model"
    with serving(served) as hub:
        surroundings = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
        answer = monitor("model", "import", name, "--folder", folder, "--json", env=surroundings)
    assert answer.returncode == 0, answer.stderr
    printed = json.loads(answer.stdout)
    print(f"large, by name: largest difference {printed['difference']:.2g}")
    assert printed["difference"] <= 1e-5
    manifest = read_manifest(folder)
    architecture = manifest.architecture
    assert architecture is not None
    assert architecture.indices == (5, 11, 17, 23)
    assert (architecture.decoder_channels, architecture.decoder_scale_modules) == (256, True)
    assert (manifest.stride, manifest.sigma, manifest.flips, manifest.threshold) == (112, 56, True, 0.5)
    assert manifest.scores["test"]["iou_at_0.5"] == 0.8918
