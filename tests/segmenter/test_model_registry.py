"""The shipped registry is valid, and a model that was not imported is reported as such."""

from pathlib import Path

import pytest

from segmenter.errors import RegistryError
from segmenter.manifest import MANIFEST_FILE, read_manifest
from segmenter.registry import Registry, read_registry

REPOSITORY = Path(__file__).parents[2]
SHIPPED = REPOSITORY / "config" / "models.yaml"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return read_registry(SHIPPED)


def test_shipped_registry_names_a_model_for_trying_and_one_for_production(registry: Registry) -> None:
    small, published = (registry.find(n) for n in ("terramind-tiny", "cryosentinel-terramind-v3"))
    assert (small.use, small.s1_kind, small.hub) == ("trying", "rtc", None)
    assert (published.use, published.s1_kind) == ("production", "grd")
    assert published.hub is not None
    assert published.hub.repository == "abzal-glw/cryosentinel-terramind-v3"


def test_every_present_model_agrees_with_the_registry(registry: Registry) -> None:
    found = [
        name
        for name, entry in registry.models.items()
        if (REPOSITORY / entry.folder / MANIFEST_FILE).exists()
    ]
    if not found:
        pytest.skip("no model of the registry is present")
    for name in found:
        manifest = read_manifest(registry.folder(name, REPOSITORY))
        assert (manifest.name, manifest.inputs.S1.kind) == (name, registry.find(name).s1_kind)


def test_a_published_model_that_was_not_imported_is_reported(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(
        RegistryError, match=r"not on this disk.*must be imported first.*monitor model import"
    ):
        registry.folder("cryosentinel-terramind-v3", tmp_path)


def test_the_folder_is_found_once_it_exists(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "cryosentinel-terramind-v3"
    folder.mkdir(parents=True)
    (folder / MANIFEST_FILE).write_text("{}")
    assert registry.folder("cryosentinel-terramind-v3", tmp_path) == folder


def test_an_unknown_name_gives_the_known_ones(registry: Registry) -> None:
    with pytest.raises(
        RegistryError, match=r"'terramind'.*cryosentinel-terramind-v3, index-baseline, terramind-tiny$"
    ):
        registry.find("terramind")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("models: {}", "models: Dictionary should have at least 1 item"),
        ("models: {a: {use: trying, s1_kind: slc, folder: m}}", r"models\.a\.s1_kind"),
        ("models: {a: {use: trying, s1_kind: rtc, folder: m, path: n}}", r"models\.a\.path: Extra inputs"),
        ("models: {a: {use: trying, s1_kind: rtc, folder: m, hub: {repository: x, file: y}}}",
         r"models\.a\.hub\.repository"),
        ("models: [", "is not YAML"),
        ("", "file: Input should be"),
    ],
)  # fmt: skip
def test_an_invalid_registry_names_file_and_field(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(RegistryError, match=named) as caught:
        read_registry(path)
    assert str(path) in str(caught.value)


def test_an_absent_registry_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"models\.yaml: cannot be read"):
        read_registry(tmp_path / "models.yaml")
