"""The card of an imported model, in Markdown: its network, inputs, origin and scores."""

from __future__ import annotations

from typing import Any

from segmenter.manifest import Architecture, Manifest

CARD_FILE = "README.md"
_KINDS = {"rtc": "terrain-corrected gamma nought", "grd": "sigma nought of ground range"}


def card(manifest: Manifest, *, half: bool) -> str:
    """The card of a model, from its manifest.

    Args:
        half: the weights are stored as float16.
    """
    network = manifest.architecture
    inputs = manifest.inputs
    parts = [
        f"# {manifest.name} {manifest.version}",
        "Imported by `monitor model import` from a published checkpoint; the figures below are those of its "
        f"authors. License: {manifest.license}.",
        "## Network and inputs",
        (_network(network) if network is not None else "")
        + f" Weights in {'float16' if half else 'float32'}. Windows of {manifest.chip} px at 10 m, every "
        f"{manifest.stride} px{', each predicted in four flips' if manifest.flips else ''}. A pixel is water "
        f"from a probability of {manifest.threshold:g}; lakes from {manifest.smallest_lake_m2:g} m2.",
        f"Sentinel-2 L2A, {len(inputs.S2L2A.bands)} bands, reflectance x 10000 without offset; Sentinel-1 "
        f"{_KINDS.get(inputs.S1.kind, inputs.S1.kind)} ({inputs.S1.kind}), VV and VH in dB; elevation "
        "in metres above EGM2008. Statistics and clips are in `manifest.json`.",
        "## Origin",
        _bullets(manifest.training),
    ]
    if manifest.scores:
        parts += ["## Scores", _bullets(manifest.scores)]
    return "\n\n".join(parts) + "\n"


def _network(network: Architecture) -> str:
    modalities = ", ".join(network.modalities)
    return f"{network.backbone} on {modalities}, {network.decoder}, one logit per pixel."


def _bullets(values: dict[str, Any], indent: str = "") -> str:
    lines = []
    for name, value in values.items():
        title = f"{indent}- {name.replace('_', ' ')}:"
        if isinstance(value, dict):
            lines += [title, _bullets(value, indent + "  ")]
        else:
            lines.append(f"{title} {value}")
    return "\n".join(lines)
