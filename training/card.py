"""The model card: what a person should know of a model before trusting it, in Markdown."""

from __future__ import annotations

from typing import Any

from segmenter.manifest import Manifest
from training.errors import TrainingError

_TITLES = {
    "validation": "Validation (simulated; threshold, temperature and the areas' factor were chosen here)",
    "test": "Test (simulated seasons of seeds never used before)",
}


def card(manifest: Manifest) -> str:
    """The card of a small model that was made by `training rebuild`."""
    training, scores = manifest.training, manifest.scores
    parts = [
        f"# {manifest.name} {manifest.version}",
        "A small lake segmenter trained **only on simulated scenes**. It is for trying and testing this "
        "project: it shows that every step works, and it is **not for production**. Lakes of real mountains "
        "need weights trained on real scenes; `config/models.yaml` names them.",
        "## Network and inputs",
        _network(manifest),
        "## What it was trained on",
        _bullets(training),
        "## Measured scores",
    ]
    for key, title in _TITLES.items():
        if key in scores:
            parts += [f"### {title}", _score_table(scores[key])]
    if "calibration" in scores:
        parts += ["### Calibration, on the test seasons", calibration(scores["calibration"])]
    if "real" in scores:
        parts += ["### Real tiles", _real(scores["real"])]
    parts += [
        "## Limits",
        "- Simulated light, water, snow and radar are simpler than real ones: scores on simulated seasons "
        "say nothing about real mountains, and the real tiles above show how far it carries. The same holds "
        "for its uncertainty and for the intervals of areas: they were fitted and checked on simulated "
        "seasons.\n"
        "- Frozen lakes were left out of training; what it answers there means nothing.\n"
        f"- Lakes below {manifest.smallest_lake_m2:.0f} m2 are beyond it: its decoder works at 40 m and "
        "interpolates.\n"
        "- One seed, no ensemble.",
        "Made by `training rebuild`; the arguments are in `manifest.json` under `training`.",
    ]
    return "\n\n".join(parts) + "\n"


def _network(manifest: Manifest) -> str:
    network = manifest.architecture
    if network is None:
        raise TrainingError(f"{manifest.name}: an index has no network, and no card of this kind")
    return (
        f"TerraMind tiny ({network.backbone}, from random weights) with an UperNet decoder of "
        f"{network.decoder_channels} channels, one logit a pixel; weights in float16. "
        f"Inputs of {manifest.chip} x {manifest.chip} px at 10 m: Sentinel-2 L2A, 12 bands, reflectance x "
        "10000 without offset; Sentinel-1 terrain-corrected gamma nought, VV and VH in dB; Copernicus DEM "
        "in metres. "
        f"Water from a probability of {manifest.threshold}; logits are divided by {manifest.temperature}.\n\n"
        f"Its uncertainty is the spread of {manifest.passes} passes that each leave out "
        f"{manifest.dropout:.0%} of the head's channels; it was trained with the same dropout. Standard "
        f"deviations of lakes' areas are multiplied by {manifest.area_factor}."
    )


def calibration(values: dict[str, Any]) -> str:
    """Tables of reliability, of intervals of area, and of what the uncertainty tells (`Measured`)."""
    known, area, told = values["reliability"], values["area"], values["uncertainty"]
    bins = [
        (f"{row['from']:.1f}-{row['to']:.1f}", row["mean_probability"], row["share_of_water"], row["pixels"])
        for row in known["bins"]
    ]
    columns = ("held", "held_at_factor_1", "held_by_shoreline_alone", "held_as_drawn")
    held = [
        (_size(rows[0]), rows[0]["lakes"], *map(_share, rows), rows[0]["half_width"])
        for rows in zip(*(area[name] for name in columns), strict=True)
    ]
    kinds = [(name, values) for name, values in told.items() if len(values) > 1]
    rows = [(_plain(n), *(v[n] for _, v in kinds)) for n in kinds[0][1]] if kinds else []
    parts = [
        "Reliability: what was said of pixels, and how much of them was water.",
        table(("probability", "mean", "share of water", "pixels"), bins),
        f"Expected calibration error {known['expected_error']}; between 0.1 and 0.9 "
        f"{known['expected_error_between']}.",
        "Areas: lakes whose 95 % interval holds the true area, with the share's standard error: with the "
        f"model's factor of {area['factor']}, with a factor of 1, and for the shoreline's term alone. Of "
        f"{area['lakes']} lakes that were wholly seen {area['found']} were mapped, {area['joined']} of them "
        "as one with a neighbour: no interval holds those. `As drawn` compares a mapped lake with all the "
        "water it holds, for which the factor was not fitted. Last the median half width of the interval "
        "over the area.",
        table(("true area", "lakes", "held", "factor 1", "shoreline alone", "as drawn", "half width"), held),
    ]
    if kinds:
        parts += [
            "What the uncertainty tells, over all pixels and over those with a probability of 0.05 to 0.95 "
            "(ranks against |probability - share of water|; `of p` is p (1 - p), which needs no passes):",
            table(("", *(name for name, _ in kinds)), rows),
        ]
    return "\n\n".join(parts)


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A Markdown table; a dash where nothing could be counted."""
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(_shown(value) for value in row) + " |" for row in rows)])


def _size(row: dict[str, Any]) -> str:
    most = row["to_ha"]
    return f">= {row['from_ha']:g} ha" if most is None else f"{row['from_ha']:g}-{most:g} ha"


def _share(row: dict[str, Any]) -> str | None:
    return None if row["share"] is None else f"{row['share']:.3f} ± {row['standard_error']:.3f}"


def _bullets(values: dict[str, Any]) -> str:
    return "\n".join(f"- {_plain(name)}: {value}" for name, value in values.items())


def _score_table(values: dict[str, Any]) -> str:
    return table(("", ""), [(_plain(name), value) for name, value in values.items()])


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


def _real(scores: dict[str, Any]) -> str:
    """The real tiles' scores, whatever they are, with what the reference is worth."""
    mesh = scores["terramesh"]
    names = list(next(iter(mesh["tiles"].values())))
    rows = [(tile, *(row[name] for name in names)) for tile, row in mesh["tiles"].items()]
    tiles = table(("TerraMesh tile", *(_plain(name) for name in names)), rows)
    return f"{tiles}\n\nReference: {mesh['reference']}.\n\nSen1Floods11: {scores['sen1floods11']}."
