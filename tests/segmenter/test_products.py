"""The network as products gives the same numbers as the network, layer by layer and whole."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from segmenter.compiled import Compiled, Half
from segmenter.manifest import Manifest
from segmenter.model import Model
from segmenter.network import Chips
from segmenter.products import ChannelsLast, Doubling, Gated, Pointwise, Shifted, as_products
from segmenter.programs import Programs

pytestmark = pytest.mark.slow


def values(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "other"),
    [
        (lambda bias: nn.Conv2d(12, 20, 1, bias=bias), Pointwise),
        (lambda bias: nn.ConvTranspose2d(12, 20, 2, 2, bias=bias), Doubling),
        (lambda bias: nn.Conv2d(12, 20, 3, padding=1, bias=bias), ChannelsLast),
        (lambda bias: nn.Conv2d(12, 20, 3, padding=1, bias=bias), Shifted),
    ],
)
def test_a_convolution(bias: bool, layer: Callable[[bool], nn.Module], other: type[nn.Module]) -> None:
    original = layer(bias).double()
    chips = values(3, 12, 7, 9)
    with torch.no_grad():
        expected = original(chips)
        torch.testing.assert_close(other(original)(chips), expected, rtol=1e-12, atol=1e-12)
    assert expected.std() > 0.1


class GatedMlp(nn.Module):
    """As terratorch has it."""

    def __init__(self, width: int, hidden: int, *, bias: bool) -> None:
        super().__init__()
        self.fc1, self.fc3 = (nn.Linear(width, hidden, bias=bias) for _ in range(2))
        self.fc2, self.act = nn.Linear(hidden, width, bias=bias), nn.SiLU()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(tokens)) * self.fc3(tokens))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("hidden", [42, 64])
def test_a_gated_layer(hidden: int, bias: bool) -> None:
    holder = nn.Sequential(GatedMlp(16, hidden, bias=bias)).double()
    tokens = values(2, 5, 16)
    with torch.no_grad():
        expected = holder(tokens)
        changed = as_products(holder)
        torch.testing.assert_close(changed(tokens), expected, rtol=1e-12, atol=1e-12)
    assert isinstance(changed[0], Gated)
    assert changed[0].out.weight.shape == (16, 64)


def test_what_is_no_such_layer_is_left_alone() -> None:
    """Strided, dilated, grouped, reflected or wide convolutions, and gates other than SiLU."""
    kept = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 5, padding=2),
        nn.ConvTranspose2d(4, 4, 3, 2),
    )
    before = list(kept)
    assert list(as_products(kept.eval())) == before


@pytest.mark.parametrize(("convolve", "code"), [(ChannelsLast, 7), (Shifted, 7), (ChannelsLast, 6)])
def test_the_whole_network(
    tiny: nn.Module,
    manifest_of: Callable[..., Manifest],
    convolve: Callable[[nn.Conv2d], nn.Module],
    code: int,
) -> None:
    manifest = manifest_of(passes=3)
    network = Chips(copy.deepcopy(tiny), manifest, code).eval().double()
    for norm in network.modules():  # fresh ones would hide a mistake in what is folded
        if isinstance(norm, nn.BatchNorm2d):
            for number, tensor in enumerate((norm.running_mean, norm.running_var, norm.weight, norm.bias)):
                tensor.data = values(len(tensor)) * 0.1 + (number in (1, 2))
    chips = [values(2, bands, 224, 224) for bit, bands in enumerate((12, 2, 1)) if code >> bit & 1]
    with torch.no_grad():
        expected = network(*chips)
        changed = as_products(network, convolve)
        torch.testing.assert_close(changed(*chips), expected, rtol=1e-9, atol=1e-9)
    kinds = {type(layer) for layer in changed.modules()}
    assert not kinds & {nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d}
    assert {Pointwise, Doubling, convolve} <= kinds


def test_weights_in_half_precision_give_nearly_the_same(
    tiny: nn.Module, manifest_of: Callable[..., Manifest]
) -> None:
    """float16 errs less than bfloat16, which is why it is preferred."""
    network = Chips(copy.deepcopy(tiny), manifest_of()).eval()
    chips = [values(1, bands, 224, 224).float() for bands in (12, 2, 1)]
    with torch.no_grad():
        expected = network(*chips)
        errors = [
            float((Half(copy.deepcopy(network), dtype)(*chips) - expected).norm() / expected.norm())
            for dtype in (torch.float16, torch.bfloat16)
        ]
    assert errors[0] < 0.01
    assert errors[0] < errors[1] / 3


def test_a_program_of_one_size_is_given_no_other(manifest_of: Callable[..., Manifest]) -> None:
    given = []

    def forward(optical: torch.Tensor, radar: torch.Tensor, dem: torch.Tensor) -> torch.Tensor:
        given.append(tuple(map(len, (optical, radar, dem))))
        return functional.pad(dem, (0, 0)) + optical[:, :1]

    manifest = manifest_of(passes=0)
    model = Model(manifest, Programs(manifest, lambda _: Compiled(forward, 4)), torch.device("cpu"), 4)
    chips = [values(6, bands, 16, 16).float() for bands in (12, 2, 1)]
    torch.testing.assert_close(model.logits(*chips), chips[2] + chips[0][:, :1])
    assert given == [(4, 4, 4)] * 2
