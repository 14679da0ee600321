"""An invalid manifest is refused with the name of the field."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segmenter.errors import ManifestError
from segmenter.manifest import MANIFEST_FILE, WEIGHTS_FILE, Manifest, digest_of, read_manifest

SET = {"sensors": ["S1", "DEM"], "threshold": 0.4, "temperature": 1.5, "area_factor": 2.0}


@pytest.fixture
def folder(tmp_path: Path, manifest_of: Callable[..., Manifest]) -> Path:
    (tmp_path / WEIGHTS_FILE).write_bytes(b"weights")
    manifest = manifest_of(digest=digest_of(tmp_path / WEIGHTS_FILE), scores={"iou": 0.8})
    (tmp_path / MANIFEST_FILE).write_text(manifest.model_dump_json())
    return tmp_path


def edit(folder: Path, field: str, value: Any) -> None:
    path = folder / MANIFEST_FILE
    content = json.loads(path.read_text())
    *way, last = field.split(".")
    part = content
    for key in way:
        part = part[key]
    part[last] = value
    path.write_text(json.dumps(content))


def test_reads_back_what_was_written(folder: Path, manifest_of: Callable[..., Manifest]) -> None:
    manifest = read_manifest(folder)
    assert manifest == manifest_of(digest=manifest.digest, scores={"iou": 0.8})


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("inputs.S2L2A.bands", ["B02", "B01", *[f"B0{n}" for n in range(3, 9)], "B8A", "B09", "B11", "B12"],
         r"inputs\.S2L2A: bands: must be B01 B02"),
        ("inputs.S1.bands", ["VH", "VV"], r"inputs\.S1: bands: must be VV VH in this order, got VH VV"),
        ("inputs.S2L2A.mean", [1.0] * 11, r"inputs\.S2L2A: mean: 11 values for 12 bands"),
        ("inputs.DEM.std", [0.0], r"inputs\.DEM\.std\.0"),
        ("inputs.DEM.std", [], r"inputs\.DEM: std: 0 values"),
        ("inputs.DEM.mean", [9500.0], r"inputs\.DEM: mean: must lie inside the clip"),
        ("inputs.S1.kind", "slc", r"inputs\.S1\.kind"),
        ("inputs.S2L2A.clip", [16000, 0], r"inputs\.S2L2A\.clip"),
        ("inputs.S1.std", [float("nan"), 1.0], r"inputs\.S1\.std\.0"),
        ("architecture.backbone", "resnet50", r"architecture\.backbone"),
        ("architecture.indices", [2, 8, 5, 11], r"architecture\.indices: block numbers must ascend"),
        ("architecture.indices", [2, 5, 8], r"architecture\.indices\.3"),
        ("architecture.indices", None, r"architecture: indices: give either .* or `necks`"),
        ("architecture.necks", [], r"architecture: indices: give either the encoder blocks"),
        ("architecture.necks", [{"indices": [1]}], r"architecture\.necks: every neck needs its name"),
        ("architecture.modalities", ["DEM", "DEM"], r"architecture\.modalities: each .* once"),
        ("architecture.modalities", ["S1GRD"], r"architecture\.modalities\.0"),
        ("architecture.merge", "dict", r"architecture\.merge"),
        ("architecture.image_size", 250, r"architecture\.image_size: .*multiple of 16"),
        ("chip", 225, r"chip: .*multiple of 16"),
        ("stride", 0, r"stride"),
        ("stride", 256, r"stride: 256 exceeds chip 224"),
        ("sigma", 3, r"sigma: 3\.0 is below chip / 16"),
        ("threshold", 1.0, r"threshold"),
        ("temperature", 0, r"temperature"),
        ("digest", "md5:00", r"digest"),
        ("digest", "sha256:" + 64 * "0", r"digest: is sha256:0000.*download both files"),
        ("treshold", 0.5, r"treshold: Extra inputs are not permitted"),
        ("inputs.S3", {}, r"inputs\.S3: Extra inputs"),
        ("fewer", [{**SET, "sensors": ["DEM", "S1"]}], r"fewer\.0\.sensors: must be some of S2L2A S1 DEM"),
        ("fewer", [{**SET, "sensors": []}], r"fewer\.0\.sensors: "),
        ("fewer", [{**SET, "sensors": ["S1", "S3"]}], r"fewer\.0\.sensors\.1: "),
        ("fewer", [{**SET, "threshold": 1}], r"fewer\.0\.threshold"),
        ("fewer", [SET, SET], r"fewer: names a set of sensors twice"),
        ("fewer", [{**SET, "sensors": ["S2L2A", "S1", "DEM"]}],
         r"fewer: S2L2A\+S1\+DEM is no smaller set of the model's S2L2A\+S1\+DEM"),
    ],
)  # fmt: skip
def test_the_invalid_field_is_named(folder: Path, field: str, value: Any, named: str) -> None:
    edit(folder, field, value)
    with pytest.raises(ManifestError, match=named) as caught:
        read_manifest(folder)
    assert str(folder / MANIFEST_FILE) in str(caught.value)


def test_a_missing_statistic_is_named(folder: Path) -> None:
    path = folder / MANIFEST_FILE
    content = json.loads(path.read_text())
    del content["inputs"]["S1"]["std"]
    path.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=r"inputs\.S1\.std: Field required"):
        read_manifest(folder)


def test_refuses_weights_that_changed_after_the_manifest(folder: Path) -> None:
    (folder / WEIGHTS_FILE).write_bytes(b"other weights")
    with pytest.raises(ManifestError, match="digest: is sha256:"):
        read_manifest(folder)


@pytest.mark.parametrize("name", [MANIFEST_FILE, WEIGHTS_FILE])
def test_refuses_a_folder_that_lacks_a_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ManifestError, match=rf"{name}: cannot be read \(No such file"):
        read_manifest(folder)


def test_refuses_a_truncated_manifest(folder: Path) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(path.read_text()[:100])
    with pytest.raises(ManifestError, match="Invalid JSON"):
        read_manifest(folder)


def test_fingerprint_changes_only_with_what_affects_results(manifest_of: Callable[..., Manifest]) -> None:
    manifest = manifest_of()
    assert manifest_of(scores={"iou": 0.9}, training={"seed": 1}).fingerprint == manifest.fingerprint
    changed = [
        manifest_of(**change)
        for change in (
            {"threshold": 0.6},
            {"fewer": [SET]},
            {"fewer": [SET | {"shift": 0.1}]},
            {"stride": 112},
            {"temperature": 1.3},
            {"digest": "sha256:" + 64 * "a"},
            {"inputs": manifest.inputs.model_copy(
                update={"S1": manifest.inputs.S1.model_copy(update={"mean": (-9.0, -17.3)})}
            )},
        )
    ]  # fmt: skip
    assert len({manifest.fingerprint, *(other.fingerprint for other in changed)}) == 8
    assert (
        manifest_of(fewer=[SET]).fingerprint == manifest_of(fewer=[SET | {"scores": {"iou": 1}}]).fingerprint
    )


def test_planning_a_run_does_not_import_torch() -> None:
    code = (
        "import sys, segmenter.manifest, segmenter.windows, segmenter.protocol, segmenter.registry;"
        "sys.exit('torch' in sys.modules or 'terratorch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
