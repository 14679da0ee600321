"""The members of an answer: dropout passes of the head, flips, models; and the spread between them.

Everything here is a fixed function of the manifest and is the same for every window, tile and worker. An
uncertainty is therefore independent of the tiling, as a probability is.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from segmenter.manifest import Manifest
from segmenter.protocol import ChipNetwork, Pixels
from segmenter.sensors import SensorSet

FLIPS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,), (-2, -1))
"""Axes that each flip reverses: none, vertical, horizontal, both."""
_SEED = 20
"""Seed of the dropout masks. It is part of the method, not a setting: another seed is another model."""


def planes(manifest: Manifest) -> int:
    """Number of planes that `members` returns: the answer, the dropout passes and, if any, the flips."""
    return 1 + manifest.passes + (len(FLIPS) if manifest.flips else 0)


def members(network: ChipNetwork, optical: Tensor | None, radar: Tensor | None, dem: Tensor | None) -> Tensor:
    """(B, planes, H, W) logits of normalised chips (B, 12 | 2 | 1, H, W); a sensor that is None is absent.

    The first plane is the answer and the next ones are the dropout passes; each is the mean over the flips.
    If the manifest has flips, the answer of every single flip follows. If all flips of the chips fit into one
    batch of the network, it is called once.
    """
    if not network.manifest.flips:
        return network.logits(optical, radar, dem)

    def run(flips: Sequence[tuple[int, ...]]) -> Tensor:
        return network.logits(
            *(
                None if chips is None else torch.cat([_turned(chips, axes) for axes in flips])
                for chips in (optical, radar, dem)
            )
        )

    some = next(chips for chips in (optical, radar, dem) if chips is not None)
    count, own = len(some), 1 + network.manifest.passes
    each: Iterable[Tensor]
    if count * len(FLIPS) <= network.batch:
        each = torch.split(run(FLIPS), count)
    else:
        each = (run([axes]) for axes in FLIPS)
    found = torch.zeros(count, own + len(FLIPS), *some.shape[-2:], device=some.device)
    for number, (logits, axes) in enumerate(zip(each, FLIPS, strict=True)):
        back = _turned(logits, axes)
        found[:, :own] += back
        found[:, own + number] = back[:, 0]
    found[:, :own] /= len(FLIPS)
    return found


def _turned(chips: Tensor, axes: tuple[int, ...]) -> Tensor:
    return chips.flip(axes) if axes else chips


def answer(manifests: Sequence[Manifest], sets: Sequence[SensorSet], logits: Sequence[Tensor]) -> Tensor:
    """(2, ...) probability and its standard deviation, from each model's (planes, ...) logits.

    `sets` has the calibration of each model for the sensors of these logits. The calibrated logits of the
    models are averaged. The variance is the sum of three: over the dropout passes (Gal and Ghahramani 2016),
    over the flips, and over the models (Lakshminarayanan et al. 2017). Where the averaged logit is not
    finite, both results are infinite.
    """
    own, variance = [], torch.zeros_like(logits[0][0])
    for manifest, fitted, part in zip(manifests, sets, logits, strict=True):
        calibrated = (part + fitted.shift if fitted.shift else part) / fitted.temperature
        own.append(calibrated[0])
        chances = torch.sigmoid(calibrated[1:])
        for several in (chances[: manifest.passes], chances[manifest.passes :]):
            if len(several) > 1:
                variance += _variance(several) / len(manifests)
    if len(own) > 1:
        variance += _variance(torch.sigmoid(torch.stack(own)))
    mean = _mean(torch.stack(own))
    both = torch.stack([torch.sigmoid(mean), variance.sqrt_()])
    return torch.where(mean.isfinite(), both, torch.inf)


def _mean(values: Tensor) -> Tensor:
    """Mean over the first axis, summed in order; the order of a reduction can depend on the pixel's place."""
    total = values[0].clone()
    for value in values[1:]:
        total += value
    return total / len(values)


def _variance(chances: Tensor) -> Tensor:
    """Variance (...) of two or more probabilities (members, ...)."""
    mean = _mean(chances)
    total = torch.zeros_like(mean)
    for chance in chances:
        difference = chance - mean
        total += difference.mul_(difference)
    return total / (len(chances) - 1)


def widen(convolution: nn.Conv2d, passes: int, dropout: float) -> nn.Conv2d:
    """The head's last 1 x 1 convolution with one more output for each dropout pass.

    Dropping channels before a 1 x 1 convolution is equivalent to other weights of the convolution, so all
    passes share one run of encoder and decoder.
    """
    weight, bias = convolution.weight.detach(), convolution.bias
    masks = torch.from_numpy(dropout_masks(convolution.in_channels, passes, dropout)).to(weight)
    wide = nn.Conv2d(convolution.in_channels, 1 + passes, 1, bias=bias is not None)
    wide.weight = nn.Parameter(torch.cat([weight, weight * masks[:, :, None, None]]), requires_grad=False)
    if bias is not None:
        wide.bias = nn.Parameter(bias.detach().expand(1 + passes).clone(), requires_grad=False)
    return wide


def dropout_masks(channels: int, passes: int, dropout: float) -> Pixels:
    """(passes, channels) weights: 0 for the share `dropout` of the channels; the others are scaled up for it.

    The channels are shuffled, and each pass drops the next ones. A channel is dropped again only after all
    others have been dropped, so that a few passes cover all channels.
    """
    left_out = min(max(round(channels * dropout), 1), channels - 1)
    masks = np.full((passes, channels), channels / (channels - left_out), np.float32)
    random = np.random.default_rng(_SEED)
    order = random.permutation(channels).tolist()
    for mask in masks:
        if len(order) < left_out:  # the channels that are left, then the others in a new order
            order += [channel for channel in random.permutation(channels).tolist() if channel not in order]
        mask[order[:left_out]] = 0
        del order[:left_out]
    return masks
