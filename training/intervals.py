"""Fit the intervals of areas of an existing model again; its weights and threshold stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from segmenter.manifest import MANIFEST_FILE, Manifest, read_manifest
from segmenter.protocol import Segmenter
from training.archives import make_archives
from training.areas import Drawn, draw
from training.calibration import fit_area_factor
from training.card import card
from training.errors import TrainingError
from training.evaluate import intervals, predict_scene
from training.package import CARD_FILE
from training.scenes import prepare_all


def refitted(
    manifest: Manifest,
    validation: Drawn,
    simulated: Drawn,
    relief: Drawn,
    provenance: Mapping[str, Any],
) -> Manifest:
    """The manifest with a factor of areas fitted on `validation`, and its coverage in the tests.

    Args:
        validation: lakes on simulated and on real relief.
        simulated, relief: lakes of scenes that serve no other purpose, on simulated and on other real relief.
        provenance: of all of them, for the manifest.

    Raises:
        TrainingError: a class of size has too few lakes.
    """
    factor = fit_area_factor(validation.alone)
    if factor is None:
        raise TrainingError(
            f"{validation.found} lakes were mapped in validation, too few in a class of size; add seeds"
        )
    known = manifest.scores.get("calibration", {})
    scores = {"calibration": {**known, "area": intervals(simulated, factor)}}
    scores["area_on_relief"] = intervals(relief, factor)
    return manifest.model_copy(
        update={
            "area_factor": factor,
            "training": {**manifest.training, "intervals": {"lakes": len(validation.alone), **provenance}},
            "scores": {**manifest.scores, **scores},
        }
    )


def write_intervals(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest and its card to the folder of the model, and return it, read back."""
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
    written = read_manifest(folder)
    (folder / CARD_FILE).write_text(card(written))
    return written


@dataclass(frozen=True)
class Worlds:
    """Simulated archives of one purpose, on simulated relief or on the rasters `relief` in turn."""

    seeds: tuple[int, ...]
    relief: tuple[Path, ...]
    size: int
    seasons: str

    def drawn(self, model: Segmenter, work: Path, purpose: str) -> Drawn:
        """Make the archives and stacks below `work`, map their lakes and match them with the truth."""
        manifest, drawn = model.manifest, Drawn.nothing()
        made = make_archives(
            work / "archives",
            self.seeds,
            size=self.size,
            seasons=self.seasons,
            processes=2,
            relief=self.relief,
        )
        for scene in track(prepare_all(made, work / "scenes", purpose), description=purpose):
            answer = predict_scene(model, scene)
            drawn += draw(answer, scene, manifest.threshold, manifest.smallest_lake_m2)
        return drawn

    def as_dict(self) -> dict[str, Any]:
        """Provenance, without folders."""
        return {**asdict(self), "relief": [raster.name for raster in self.relief]}


def refit(
    folder: Path,
    model: Segmenter,
    simulated: Worlds,
    relief: Worlds,
    test_simulated: Worlds,
    test_relief: Worlds,
    *,
    work: Path,
) -> Manifest:
    """Fit the factor of areas of the model in `folder`, score it, and rewrite its manifest and card.

    Raises:
        TrainingError: a seed serves two purposes, a raster too, or a class of size has too few lakes.
    """
    worlds = {
        "validation": simulated,
        "validation_relief": relief,
        "test": test_simulated,
        "test_relief": test_relief,
    }
    refuse_shared(list(worlds.values()), model.manifest.training.get("train_seeds", []))
    drawn = {name: made.drawn(model, work, name.replace("_", " ")) for name, made in worlds.items()}
    validation = drawn["validation"] + drawn["validation_relief"]
    provenance = {name: made.as_dict() for name, made in worlds.items()}
    manifest = refitted(model.manifest, validation, drawn["test"], drawn["test_relief"], provenance)
    return write_intervals(folder, manifest)


def refuse_shared(worlds: Sequence[Worlds], trained: Sequence[int]) -> None:
    """Raise `TrainingError` when worlds, or the training of the network, share a seed or a raster."""
    seeds = [*map(str, trained), *(str(seed) for made in worlds for seed in made.seeds)]
    rasters = [name for made in worlds for name in {raster.name for raster in made.relief}]
    for name, used in (("seeds", seeds), ("relief", rasters)):
        if twice := sorted({one for one in used if used.count(one) > 1}):
            raise TrainingError(f"{name}: {twice} serve two purposes; scores need unseen ones")
