"""The configuration of a rebuild: the delivered one is valid, and mistakes are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from training.config import Config, read_config
from training.errors import TrainingError
from training.recipe import DEMO_SEED, parse_sensors

DELIVERED = Path(__file__).parents[2] / "config/training/delivered.yaml"


def written(folder: Path, **changed: Any) -> Path:
    """A small configuration with some fields changed."""
    fields: dict[str, Any] = {
        "name": "small",
        "version": "1",
        "train": [{"seeds": "101-102"}, {"seeds": 103, "relief": ["a.tif"]}],
        "validation": [{"seeds": "201"}],
        "test": {"seeds": "301"},
        "test_on_relief": {"seeds": "601", "relief": ["b.tif"]},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(fields | changed))
    return path


def test_the_delivered_configuration_is_read() -> None:
    config = read_config(DELIVERED)
    assert config.recipe.sets[0].name == "S2L2A+S1+DEM"
    assert config.test_on_relief is not None and config.test_on_relief.relief
    assert Config.model_validate({"name": "n", "version": "v", **_plain(config.provenance())}) == (
        config.model_copy(update={"name": "n", "version": "v"})
    )


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with seeds as the file has them."""
    if isinstance(fields, dict):
        return {
            name: ",".join(map(str, value)) if name == "seeds" else _plain(value)
            for name, value in fields.items()
        }
    return [_plain(value) for value in fields] if isinstance(fields, list) else fields


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"validation": [{"seeds": "102"}]}, r"seeds: \[102\] serve two purposes"),
        ({"test_on_relief": {"seeds": "301", "relief": ["b.tif"]}}, r"seeds: \[301\] serve two purposes"),
        ({"test_on_relief": {"seeds": "601", "relief": ["a.tif"]}}, r"relief: \['a.tif'\] serve two"),
        ({"train": [{"seeds": str(DEMO_SEED)}]}, "must not be used for training"),
        ({"train": [{"sed": "1"}]}, "sed"),
        ({"recipe": {"steps": 0}}, "at least 1 step"),
        ({"recipe": {"window": 100}}, "multiple of 16"),
        ({"recipe": {"stepz": 10}}, "stepz"),
        ({"recipe": {"sets": [{"sensors": ["S1"], "share": 1}]}}, "must begin with"),
        ({"recipe": {"augmentation": {"hase": 1}}}, "hase"),
    ],
)
def test_mistakes_are_refused_by_name(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    assert read_config(written(tmp_path)).train[1].seeds == (103,)
    with pytest.raises(TrainingError, match=message):
        read_config(written(tmp_path, **changed))


def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none.yaml: cannot be read"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "torn.yaml").write_text("name: [")
    with pytest.raises(TrainingError, match="is not YAML"):
        read_config(tmp_path / "torn.yaml")


def test_sensors_are_parsed_in_any_order() -> None:
    assert parse_sensors("DEM+S1") == ("S1", "DEM")
    with pytest.raises(TrainingError, match="S3: must be some of S2L2A, S1, DEM"):
        parse_sensors("S1+S3")
