"""The members of an answer: dropout passes of the head, flips, models; and the spread between them.

Everything here is a fixed function of the manifest, the same for every window, tile and worker, so that an
uncertainty depends on the tiling as little as a probability does.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from segmenter.manifest import Manifest
from segmenter.protocol import ChipNetwork, Pixels

FLIPS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,), (-2, -1))
"""Axes turned round in each flip: none, vertical, horizontal, both."""
_SEED = 20
"""Of the dropout masks. Part of the method, not a setting: another seed would be another model."""


def planes(manifest: Manifest) -> int:
    """Planes of logits that `members` gives for a model: its own, its dropout passes', its flips'."""
    return 1 + manifest.passes + (len(FLIPS) if manifest.flips else 0)


def members(network: ChipNetwork, optical: Tensor, radar: Tensor, dem: Tensor) -> Tensor:
    """(B, planes, H, W) logits of normalised chips (B, 12 | 2 | 1, H, W).

    The first plane is the answer, the next are the dropout passes', each the mean over the flips; then comes
    the answer of every flip alone, if the manifest asks for flips.
    """
    if not network.manifest.flips:
        return network.logits(optical, radar, dem)
    each = torch.stack(
        [network.logits(*(chips.flip(axes) for chips in (optical, radar, dem))).flip(axes) for axes in FLIPS]
    )
    return torch.cat([each.mean(0), each[:, :, 0].transpose(0, 1)], 1)


def answer(manifests: Sequence[Manifest], logits: Sequence[Pixels]) -> tuple[Pixels, Pixels]:
    """Probability and its standard deviation at n pixels, from each model's (planes, n) logits.

    Models' calibrated logits are averaged. The variance adds up what each source of doubt contributes: the
    dropout passes (Gal and Ghahramani 2016), the flips, and the models (Lakshminarayanan et al. 2017).
    """
    calibrated = [part / np.float32(m.temperature) for m, part in zip(manifests, logits, strict=True)]
    own = np.stack([part[0] for part in calibrated])
    variance = _variance(own)
    for manifest, part in zip(manifests, calibrated, strict=True):
        passes, flips = part[1 : 1 + manifest.passes], part[1 + manifest.passes :]
        variance += (_variance(passes) + _variance(flips)) / np.float32(len(calibrated))
    return sigmoid(own.mean(0)), np.sqrt(variance)


def sigmoid(logits: Pixels) -> Pixels:
    """Probabilities of logits. By numpy: torch rounds a value by where in its array it stands."""
    odds: Pixels = np.exp(-np.clip(logits, -80, 80))
    return np.float32(1) / (np.float32(1) + odds)


def _variance(logits: Pixels) -> Pixels:
    """Variance (n,) of the probabilities that (members, n) logits stand for; 0 for fewer than two."""
    if len(logits) < 2:
        return np.zeros(logits.shape[1:], np.float32)
    spread: Pixels = sigmoid(logits).var(0, ddof=1)
    return spread


def widen(convolution: nn.Conv2d, passes: int, dropout: float) -> nn.Conv2d:
    """The head's last 1 x 1 convolution with an output more for each dropout pass.

    To leave out channels and then sum the rest is to sum them with other weights, so that all passes share
    one run of encoder and decoder.
    """
    weight, bias = convolution.weight.detach(), convolution.bias
    masks = torch.from_numpy(dropout_masks(convolution.in_channels, passes, dropout)).to(weight)
    wide = nn.Conv2d(convolution.in_channels, 1 + passes, 1, bias=bias is not None)
    wide.weight = nn.Parameter(torch.cat([weight, weight * masks[:, :, None, None]]), requires_grad=False)
    if bias is not None:
        wide.bias = nn.Parameter(bias.detach().expand(1 + passes).clone(), requires_grad=False)
    return wide


def dropout_masks(channels: int, passes: int, dropout: float) -> Pixels:
    """(passes, channels) weights: 0 for the share `dropout` of the channels, the rest scaled up to make up.

    Channels are dealt out like cards, all of them before any comes again, so that few passes see much.
    """
    left_out = min(max(round(channels * dropout), 1), channels - 1)
    masks = np.full((passes, channels), channels / (channels - left_out), np.float32)
    random = np.random.default_rng(_SEED)
    deck = random.permutation(channels).tolist()
    for mask in masks:
        if len(deck) < left_out:  # the last cards first, then those of a new deck that are not among them
            deck += [card for card in random.permutation(channels).tolist() if card not in deck]
        mask[deck[:left_out]] = 0
        del deck[:left_out]
    return masks
