"""The network as an exported program: ready in seconds, and cheaper on a processor, with the same answers.

Building the network takes terratorch, whose import alone takes ten seconds. Exported once (`torch.export`)
and kept beside the weights, it needs torch alone. Its products are then run by oneDNN, which torch leaves to
another library unless asked, twice as fast on many processors.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import platformdirs
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from segmenter.errors import WeightsError
from segmenter.manifest import DEM_BANDS, OPTICAL_BANDS, RADAR_BANDS, Manifest

PROGRAM_FILE = "program.pt2"
Forward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits (B, 1 + passes, H, W) of normalised chips (B, 12 | 2 | 1, H, W)."""

#: raised when this file writes another program from the same model
_FORM = 1
_MADE_FROM = "made_from"
#: largest difference of a logit from the network's own that is rounding, in units of the largest logit
_ROUNDING = 2e-5
_log = logging.getLogger(__name__)


def kept_program(folder: Path, manifest: Manifest) -> Forward | None:
    """The program of the model in `folder`, if it was made from this model by this version of torch."""
    path = _place(folder, manifest)
    if not is_zipfile(path):  # absent, or cut off
        return None
    extra = {_MADE_FROM: ""}
    try:
        exported = torch.export.load(path, extra_files=extra)
    except Exception as error:  # whatever is wrong with it, it can be made anew
        _log.warning("%s: cannot be read (%s); it is made anew", path, error)
        return None
    return _quick(exported) if extra[_MADE_FROM] == made_from(manifest) else None


def make_program(folder: Path, manifest: Manifest, network: nn.Module) -> Forward:
    """Export `network` (forward as `Forward`), keep it beside the weights or in a cache, and return it.

    Raises:
        WeightsError: the program's answers are not the network's.
    """
    chips = _example(manifest)
    with torch.no_grad():
        exported = torch.export.export(network, chips)
        program = _quick(exported)
        expected = network(*chips)
        difference = float((program(*chips) - expected).abs().max())
    if not difference <= _ROUNDING * max(1.0, float(expected.abs().max())):
        raise WeightsError(
            f"{folder}: the exported program's logits differ by {difference:.2g} from the network's; "
            "this version of torch cannot be trusted with it, install the one in constraints.txt"
        )
    path = _place(folder, manifest)
    beside = path.with_name(f"{path.stem}-{os.getpid()}.part.pt2")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.export.save(exported, beside, extra_files={_MADE_FROM: made_from(manifest)})
        beside.replace(path)
    except (OSError, RuntimeError) as error:
        beside.unlink(missing_ok=True)
        _log.warning("%s: cannot be written (%s); every start takes some seconds longer", path, error)
    return program


def _place(folder: Path, manifest: Manifest) -> Path:
    return place(folder, PROGRAM_FILE, f"{made_from(manifest)}.pt2")


def place(folder: Path, name: str, name_in_cache: str) -> Path:
    """Beside the weights, or in the user's cache where that folder cannot be written."""
    if os.access(folder, os.W_OK):
        return folder / name
    return platformdirs.user_cache_path("lake-monitor") / name_in_cache


def made_from(manifest: Manifest) -> str:
    """What decides a program: weights, architecture, dropout passes, chip, and who made it."""
    decisive = manifest.model_dump(
        mode="json", include={"architecture", "chip", "digest", "dropout", "passes", "inputs"}
    )
    text = json.dumps([_FORM, torch.__version__, decisive], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _example(manifest: Manifest) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised chips, (1, bands, chip, chip), of nothing in particular."""
    generator = torch.Generator().manual_seed(0)
    optical, radar, dem = (
        torch.randn(1, len(bands), manifest.chip, manifest.chip, generator=generator)
        for bands in (OPTICAL_BANDS, RADAR_BANDS, DEM_BANDS)
    )
    return optical, radar, dem


def _quick(exported: Any) -> Forward:
    """The exported program with its products run by oneDNN, where torch has it."""
    module: fx.GraphModule = exported.module()
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        for node in module.graph.nodes:
            if node.target is torch.ops.aten.linear.default:
                node.target = linear
            elif node.target is torch.ops.aten.scaled_dot_product_attention.default and _plain(node):
                node.target = attention
        module.graph.eliminate_dead_code()
        module.recompile()
    return module


def _plain(attention_node: fx.Node) -> bool:
    """Attention without mask, dropout or causality."""
    return not any(attention_node.args[3:6]) and not set(attention_node.kwargs) - {"scale"}


def linear(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear` by oneDNN."""
    return functional.linear(values.to_mkldnn(), weight, bias).to_dense()


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: None = None,
    _dropout: float = 0.0,
    _causal: bool = False,
    *,
    scale: float | None = None,
) -> Tensor:
    """softmax(Q K' scale) V (Vaswani et al. 2017) of (B, heads, tokens, d), head by head.

    At some hundred tokens the scores of one head stay in a core's cache, and two products are faster than
    the fused kernel.
    """
    batch, heads, tokens, depth = query.shape
    factor = depth**-0.5 if scale is None else scale
    answer = torch.empty(batch, tokens, heads, depth)
    for chip in range(batch):
        for head in range(heads):
            scores = linear(query[chip, head] * factor, key[chip, head].contiguous())
            shares = torch.softmax(scores, -1)
            answer[chip, :, head] = linear(shares, value[chip, head].t().contiguous())
    return answer.transpose(1, 2)
