"""The model card in Markdown: network, inputs, training data, scores and limits of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segmenter.area_factor import AreaFactor
from segmenter.manifest import Manifest
from training.errors import TrainingError
from training.real_scores import IOU_SLACK, MOST_FALSE

_TITLES = {
    "validation": "Validation (simulated; threshold, temperature and factor of areas were chosen on it)",
    "test": "Test (simulated seasons of other seeds)",
    "test_on_relief": "Test on real relief (simulated seasons on rasters that serve no other purpose)",
}
#: columns of the table of real chips
_OF_CHIP = ("name", "ground", "sensors", "water", "iou", "iou_ndwi", "iou_mndwi", "false", "false_ndwi",
            "false_mndwi")  # fmt: skip
#: scores in the table by sensors
_OF_SET = ("lakes", "lake_recall", "lake_precision", "lake_recall_from_2_ha", "lake_precision_from_2_ha",
           "median_area_error", "iou")  # fmt: skip


def card(manifest: Manifest) -> str:
    """Write the card of a small model made by `training rebuild`."""
    training, scores = manifest.training, manifest.scores
    parts = [
        f"# {manifest.name} {manifest.version}",
        "A small lake segmenter, trained on simulated scenes and on a few chips of real ones. Its areas and "
        "intervals were calibrated on simulated lakes: no real season of mountain lakes was seen. For "
        "production, compare it with weights that were trained on real lakes; see `config/models.yaml`.",
        "## Network and inputs",
        _network(manifest),
        "## Training",
        _bullets(training),
        "## Measured scores",
    ]
    if manifest.fewer:
        parts += ["### By sensors", _by_sensors(manifest)]
    for key, title in _TITLES.items():
        if key in scores:
            parts += [f"### {title}", _score_table(scores[key])]
    if "calibration" in scores:
        parts += ["### Calibration, on the test seasons", calibration(scores["calibration"])]
    if "area_on_relief" in scores:
        parts += ["### Areas, on unseen real relief", *_areas(scores["area_on_relief"])]
    if "real" in scores:
        parts += ["### Real test chips", _real(scores["real"])]
    parts += [
        "## Limits",
        "- Simulated light, water, snow and radar are simpler than real ones. Scores on simulated seasons do "
        "not apply to real mountains; those on real chips above are of coasts, rivers, fields and towns. The "
        "uncertainty and the intervals of areas were fitted and tested on simulated seasons.\n"
        "- Frozen lakes were excluded from training; predictions for them are meaningless.\n"
        f"- Lakes below {manifest.smallest_lake_m2:.0f} m2 are too small for it: its decoder works at 40 m "
        "and interpolates.\n"
        "- One seed, no ensemble.",
        "Made by `training rebuild`; its arguments are in `manifest.json` under `training`.",
    ]
    return "\n\n".join(parts) + "\n"


def _network(manifest: Manifest) -> str:
    network = manifest.architecture
    if network is None:
        raise TrainingError(f"{manifest.name}: is an index, which has no card of a network")
    return (
        f"TerraMind tiny ({network.backbone}, from random weights) with an UperNet decoder of "
        f"{network.decoder_channels} channels, one logit per pixel; weights in float16. "
        f"Inputs of {manifest.chip} x {manifest.chip} px at 10 m: Sentinel-2 L2A, 12 bands, reflectance x "
        "10000 without offset; Sentinel-1 terrain-corrected gamma nought, VV and VH in dB; Copernicus DEM "
        "in metres. "
        f"Pixels with a probability of at least {manifest.threshold} are water; logits are divided by "
        f"{manifest.temperature}.\n\n"
        f"The uncertainty is the spread of {manifest.passes} passes, each without {manifest.dropout:.0%} of "
        "the head's channels; the network was trained with the same dropout. Standard deviations of areas "
        f"are multiplied by {factor_in_words(manifest.area_factor)}."
    )


def _by_sensors(manifest: Manifest) -> str:
    """Scores and intervals for each set of sensors, on the test seasons and on real relief."""
    rows: list[tuple[Any, ...]] = []
    widths: list[tuple[Any, ...]] = []
    classes: tuple[str, ...] = ()
    for entry in manifest.sets:
        for key, area, ground in (
            ("test", entry.scores.get("calibration", {}).get("area"), "simulated"),
            ("test_on_relief", entry.scores.get("area_on_relief"), "real"),
        ):
            if (found := entry.scores.get(key)) is None or area is None:
                continue
            rows.append((entry.name, ground, entry.threshold, *(found[name] for name in _OF_SET)))
            held = (f"{_share(row)} ({row['half_width']})" for row in area["held"])
            widths.append((entry.name, ground, *held))
            classes = tuple(_size(row) for row in area["held"])
    return "\n\n".join(
        [
            "A pixel is predicted with the first of these sets whose sensors saw it; other sets were not "
            "validated and have no prediction. An absent sensor has no tokens in the network's sequence.",
            table(("sensors", "relief", "threshold", *map(_plain, _OF_SET)), rows),
            "Share of lakes whose 95 % interval contains the true area, with its standard error, by true "
            "area; in brackets the median half width of the interval divided by the area.",
            table(("sensors", "relief", *classes), widths),
        ]
    )


def factor_in_words(factor: AreaFactor | Sequence[Sequence[float]]) -> str:
    """A factor of areas as read from a manifest or its scores: the number, or the factor at each knot."""
    if isinstance(factor, (int, float)):
        return str(factor)
    knots = ", ".join(f"{value:g} at {area / 1e4:.3g} ha" for area, value in factor)
    return f"{knots} (linear in the logarithm of the mapped area between them)"


def calibration(values: dict[str, Any]) -> str:
    """Tables of the reliability, the intervals of areas and the uncertainty (`Measured.calibration`)."""
    known, uncertainty = values["reliability"], values["uncertainty"]
    bins = [
        (f"{row['from']:.1f}-{row['to']:.1f}", row["mean_probability"], row["share_of_water"], row["pixels"])
        for row in known["bins"]
    ]
    kinds = [(name, values) for name, values in uncertainty.items() if len(values) > 1]
    rows = [(_plain(n), *(v[n] for _, v in kinds)) for n in kinds[0][1]] if kinds else []
    parts = [
        "Reliability: mean predicted probability and true share of water of the pixels in each bin.",
        table(("probability", "mean", "share of water", "pixels"), bins),
        f"Expected calibration error {known['expected_error']}; between 0.1 and 0.9 "
        f"{known['expected_error_between']}.",
        *_areas(values["area"]),
    ]
    if kinds:
        parts += [
            "Uncertainty, for all pixels and for those with a probability of 0.05 to 0.95: rank correlation "
            "with |probability - share of water|, and that of p (1 - p), which needs no passes; share of "
            "wrong pixels in the tenth with the largest uncertainty and in the rest:",
            table(("", *(name for name, _ in kinds)), rows),
        ]
    return "\n\n".join(parts)


def _areas(area: dict[str, Any]) -> list[str]:
    """Introduction and table of the intervals of areas (`training.evaluate.intervals`)."""
    columns = ("held", "held_at_factor_1", "held_by_shoreline_alone", "held_as_drawn")
    held = [
        (_size(rows[0]), rows[0]["lakes"], *map(_share, rows), rows[0]["half_width"])
        for rows in zip(*(area[name] for name in columns), strict=True)
    ]
    heading = ("true area", "lakes", "covered", "factor 1", "shoreline alone", "as mapped", "half width")
    return [
        "Areas: share of lakes whose 95 % interval contains the true area, with its standard error: with the "
        "model's factor, with a factor of 1, and with the shoreline's part alone. Of "
        f"{area['lakes']} lakes that were seen whole, {area['found']} were mapped, {area['joined']} of them "
        "as one with a neighbour, whose intervals cannot contain the true area. The column `as mapped` "
        "compares a mapped lake with all the water in it; the factor was not fitted for that comparison. "
        "`Half width` is the median half width of the interval divided by the area.",
        table(heading, held),
    ]


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A Markdown table, with a dash in place of None."""
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
    """The scores of `training.real_scores`: lines that were kept, chips, and points on glaciers."""
    parts = [
        "Chips of places that were not trained on (`docs/real-scenes.md`), predicted from the sensors that "
        "each has and from Sentinel-2 alone. Lines: with water, an IoU of at least that of the better of "
        f"NDWI and MNDWI (above 0) minus {IOU_SLACK}; without, less than {MOST_FALSE:.1%} of the dry pixels "
        "mapped. Most labels are index evidence, so that the indices are nearly perfect on them.",
        table(("predicted from", "IoU line kept", "false water line kept", "not kept"),
              [(name, *_lines(part)) for name, part in _predicted(scores)]),
    ]  # fmt: skip
    for name, part in _predicted(scores):
        rows = [
            tuple(_short(chip[column]) for column in _OF_CHIP)
            for chip in part["chips"]
            if name == "own sensors" or chip["sensors"] not in ("S2L2A", "")
        ]
        parts += [f"From {name}:", table(tuple(_plain(column) for column in _OF_CHIP), rows)]
        if part["points"] and name == "own sensors":
            points = [(kind, *(_short(found[way]) for way in ("chips", "mapped", "ndwi", "mndwi")))
                      for kind, found in part["points"].items()]  # fmt: skip
            parts += [
                "Share of hand-classified pixels on four glaciers that is mapped as water:",
                table(("class", "chips", "model", "NDWI", "MNDWI"), points),
            ]
    return "\n\n".join(parts)


def _predicted(scores: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("own sensors", scores["own_sensors"]), ("Sentinel-2 alone", scores["S2L2A"])]


def _lines(part: dict[str, Any]) -> tuple[str, str, str]:
    """Chips that keep each line, of all that have it, and the names of the others."""
    kept = [f"{part[line]['passed']} of {part[line]['chips']}" for line in ("iou", "false_water")]
    return kept[0], kept[1], ", ".join([*part["iou"]["failed"], *part["false_water"]["failed"]]) or "-"


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
