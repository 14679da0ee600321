"""The network as an exported program: ready in seconds, and cheaper on a processor, with the same answers.

Building the network takes terratorch, whose import alone takes ten seconds. Exported once (`torch.export`)
and kept in the user's private cache (`segmenter.cache`), it needs torch alone. Its products are then run by
oneDNN, which torch leaves to another library unless asked, twice as fast on many processors.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from segmenter import cache
from segmenter.errors import WeightsError
from segmenter.manifest import DEM_BANDS, OPTICAL_BANDS, RADAR_BANDS, Manifest
from segmenter.sensors import ALL, code_of

Forward = Callable[..., Tensor]
"""Logits (B, 1 + passes, H, W) of normalised chips (B, 12 | 2 | 1, H, W): those of a set of sensors, in the
order of `SENSORS`."""

#: raised when this file writes another program from the same model
_FORM = 2
#: largest difference of a logit from the network's own that is rounding, in units of the largest logit
_ROUNDING = 2e-5
_log = logging.getLogger(__name__)


def program(manifest: Manifest, code: int, network: Callable[[], nn.Module]) -> Forward:
    """The kept program of a set of sensors, or one made of `network()` and kept.

    Args:
        manifest: its digest is that of the weights of `network()`.
        code: of the set of sensors, whose chips `network()` takes.

    Raises:
        WeightsError: the program's answers are not the network's.
    """
    if found := kept_program(manifest, code):
        return found
    with cache.alone(_name(manifest, code)):  # of several workers, one exports and the others wait
        return kept_program(manifest, code) or make_program(manifest, code, network())


def kept_program(manifest: Manifest, code: int | None = None) -> Forward | None:
    """The program that this installation made from this model with these versions of torch and terratorch.

    `code` is that of the set of sensors; None: all that the model takes.
    """
    code = code_of(manifest.sensors) if code is None else code
    path = cache.lookup(_name(manifest, code))
    if path is None:
        return None
    try:
        return _quick(torch.export.load(path))
    except Exception as error:  # whatever is wrong with it, it can be made anew
        _log.warning("%s: cannot be read (%s); it is made anew", path, error)
        return None


def make_program(manifest: Manifest, code: int, network: nn.Module) -> Forward:
    """Export `network` (forward as `Forward`, of this set of sensors), keep it in the cache, and return it.

    Raises:
        WeightsError: the program's answers are not the network's.
    """
    chips = _example(manifest, code)
    with torch.no_grad():
        exported = torch.export.export(network, chips)
        made = _quick(exported)
        expected = network(*chips)
        difference = float((made(*chips) - expected).abs().max())
    if not difference <= _ROUNDING * max(1.0, float(expected.abs().max())):
        raise WeightsError(
            f"model {manifest.name}: the exported program's logits differ by {difference:.2g} from the "
            "network's; this version of torch cannot be trusted with it, install the one in constraints.txt"
        )
    cache.store(_name(manifest, code), lambda path: torch.export.save(exported, path))
    return made


def _name(manifest: Manifest, code: int) -> str:
    return f"{made_from(manifest, code)}.pt2"


def made_from(manifest: Manifest, code: int = ALL) -> str:
    """What decides a program: weights, architecture, dropout passes, chip, sensors, and who made it."""
    decisive = manifest.model_dump(
        mode="json", include={"architecture", "chip", "digest", "dropout", "passes", "inputs"}
    )
    # of all sensors unnamed, as before there were others: programs that were kept remain valid
    sensors = [] if code == ALL else [code]
    text = json.dumps([_FORM, torch.__version__, version("terratorch"), decisive, *sensors], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _example(manifest: Manifest, code: int) -> tuple[Tensor, ...]:
    """Normalised chips of a set of sensors, (1, bands, chip, chip), of nothing in particular."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(1, len(bands), manifest.chip, manifest.chip, generator=generator)
        for bit, bands in enumerate((OPTICAL_BANDS, RADAR_BANDS, DEM_BANDS))
        if code >> bit & 1
    )


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
