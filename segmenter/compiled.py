"""The network compiled ahead of time for one type of GPU, and kept in the user's private cache.

The network is exported and compiled for batches of one size and one set of sensors, with weights in half
precision. Compiled code and weights are kept in a file `gpu-*.pt` (`segmenter.cache`), which is specific to a
type of GPU, a version of torch, a model and the set. Loading it does not import terratorch.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind

from segmenter import cache
from segmenter.manifest import DEM_BANDS, OPTICAL_BANDS, RADAR_BANDS, Manifest
from segmenter.products import as_products, faster_of_both, fold
from segmenter.program import Forward, made_from
from segmenter.sensors import ALL

BATCH = 64
"""Chips of a forward pass on a GPU; halved where its memory does not do."""
#: raised when this file makes another program from the same model
_FORM = 2
_CODE, _VALUES = "code", "values"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compiled:
    """A program for batches of one size. Implements `segmenter.program.Forward` for any number of chips."""

    forward: Forward
    batch: int

    def __call__(self, *chips: Tensor) -> Tensor:
        """The last batch is filled up."""
        count, missing = len(chips[0]), -len(chips[0]) % self.batch
        if missing:
            chips = tuple(torch.cat([chip, chip.new_zeros(missing, *chip.shape[1:])]) for chip in chips)
        groups = zip(*(torch.split(chip, self.batch) for chip in chips), strict=True)
        return torch.cat([self.forward(*group) for group in groups])[:count]


class Half(nn.Module):
    """A network with its weights in half precision, between chips and logits in single precision."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype

    def forward(self, *chips: Tensor | None) -> Tensor:
        """(B, 1 + passes, H, W) float32 logits of normalised chips; a sensor that is None is absent."""
        logits: Tensor = self.network(*(None if part is None else part.to(self.dtype) for part in chips))
        return logits.float()


def prepare(device: torch.device) -> None:
    """Import the libraries that loading a program requires, and initialise the device; takes seconds."""
    import torch._inductor.standalone_compile

    torch.empty(0, device=device)


def compiled(
    manifest: Manifest, code: int, device: torch.device, network: Callable[[], nn.Module]
) -> Compiled:
    """The kept program of a set of sensors, or one made of `network()`, which takes their chips, and kept."""
    # torch keeps what it compiles in a folder of /tmp that any user could have made before, and trusts it
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache.place("inductor")))
    with cache.alone(_name(manifest, code, device, BATCH)):  # of workers that start at once, one compiles
        return _kept(manifest, code, device) or make(manifest, code, device, network())


def _kept(manifest: Manifest, code: int, device: torch.device) -> Compiled | None:
    """The kept program with the largest batch."""
    batch = BATCH
    while batch >= 1:
        if path := cache.lookup(_name(manifest, code, device, batch)):
            try:
                return Compiled(_load(path, device), batch)
            except Exception as error:  # whatever is wrong with it, it can be made anew
                _log.warning("%s: cannot be read (%s); it is made anew", path, error)
        batch //= 2
    return None


def make(manifest: Manifest, code: int, device: torch.device, network: nn.Module) -> Compiled:
    """Compile the network for this GPU and keep the program; it runs as it is where it cannot be compiled."""
    module = in_half(network, manifest, device, code)
    batch = BATCH
    while True:
        try:
            return Compiled(_make(manifest, code, device, module, batch), batch)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        torch.cuda.empty_cache()
        batch //= 2


def in_half(network: nn.Module, manifest: Manifest, device: torch.device, code: int = ALL) -> Half:
    """The network as products in half precision on a GPU.

    Of float16 and bfloat16, which run at one speed, float16 keeps three more bits: the error of a logit is a
    fifth. It ends at 65,504; where weights, or logits of random chips, do not fit, it is bfloat16.
    """
    network = network.to(device)
    fold(network)
    chips = example(manifest, device, BATCH, code)
    network = as_products(network, faster_of_both(network, chips, torch.float16))
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    half = Half(network, torch.float16)
    with torch.inference_mode():
        fits = bool(half(*(chip[:2] for chip in chips)).isfinite().all())
    if fits:
        return half
    _log.warning("model %s: float16 cannot hold its numbers; it runs in bfloat16", manifest.name)
    network.float().load_state_dict(kept)
    return Half(network, torch.bfloat16)


def example(manifest: Manifest, device: torch.device, batch: int, code: int = ALL) -> tuple[Tensor, ...]:
    """Normalised chips of a set of sensors, (batch, bands, chip, chip), of nothing in particular."""
    return tuple(
        torch.randn(batch, len(bands), manifest.chip, manifest.chip, device=device)
        for bit, bands in enumerate((OPTICAL_BANDS, RADAR_BANDS, DEM_BANDS))
        if code >> bit & 1
    )


def _make(manifest: Manifest, code: int, device: torch.device, module: nn.Module, batch: int) -> Forward:
    """The module compiled and kept for batches of this size. Raises `torch.OutOfMemoryError`."""
    chips = example(manifest, device, batch, code)
    with torch.inference_mode():
        module(*chips)  # fails before minutes are spent on compiling, if memory is too small
    try:
        forward = _ahead_of_time(module, chips, _name(manifest, code, device, batch))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        _log.warning("the network is compiled by every process for itself, as it cannot be kept: %s", error)
    else:
        return forward
    try:
        forward = cast(Forward, torch.compile(module))
        with torch.inference_mode():
            forward(*chips)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        _log.warning("the network runs as it is, as it cannot be compiled here: %s", error)
        return cast(Forward, module)
    return forward


def _ahead_of_time(module: nn.Module, chips: tuple[Tensor, ...], name: str) -> Forward:
    """Compile the module for these chips and keep it in the cache."""
    from torch._inductor import standalone_compile

    with torch.no_grad():
        exported = torch.export.export(module, chips)
        tensors = exported.state_dict | exported.constants
        values = [
            tensors[spec.target].detach()
            for spec in exported.graph_signature.input_specs
            if spec.kind != InputKind.USER_INPUT
        ]
        artifact: Any = standalone_compile(exported.graph_module, [*values, *chips])

    def write(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            code = Path(folder) / "code"
            artifact.save(path=str(code), format="binary")
            torch.save({_CODE: torch.frombuffer(bytearray(code.read_bytes()), dtype=torch.uint8),
                        _VALUES: values}, path)  # fmt: skip

    cache.store(name, write)
    return _Program(artifact, values)


def _load(path: Path, device: torch.device) -> Forward:
    from torch._inductor import config
    from torch._inductor.standalone_compile import CompiledArtifact

    config.compile_threads = 1  # nothing is compiled: no processes are started for it
    kept = torch.load(path, map_location=device, weights_only=True, mmap=True)
    with tempfile.NamedTemporaryFile() as code:
        code.write(kept[_CODE].cpu().numpy().tobytes())
        code.flush()
        artifact: Any = CompiledArtifact.load(path=code.name, format="binary")
    return _Program(artifact, kept[_VALUES])


@dataclass(frozen=True)
class _Program:
    """Compiled code with the weights it takes. Implements `segmenter.program.Forward`."""

    artifact: Callable[..., Sequence[Tensor]]
    values: list[Tensor]

    def __call__(self, *chips: Tensor) -> Tensor:
        # contiguous, as those that it was compiled for
        return self.artifact(*self.values, *(chip.contiguous() for chip in chips))[0]


def _name(manifest: Manifest, code: int, device: torch.device, batch: int) -> str:
    """Of the program of this model, set of sensors, GPU, torch and batch."""
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    text = json.dumps([_FORM, chip, torch.version.cuda, batch, made_from(manifest, code)])
    return f"gpu-{hashlib.sha256(text.encode()).hexdigest()}.pt"
