"""The network compiled ahead of time for one type of GPU, and stored in the user's private cache.

The network is exported and compiled for batches of one size and one set of sensors, with weights in half
precision. Compiled code and weights are stored in a file `gpu-*.pt` (`segmenter.cache`), which is specific to
a type of GPU, a version of torch, a model and a set of sensors. Loading it does not import terratorch.
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
"""Chips per forward pass on a GPU; halved until they fit into its memory."""
#: version of this file's programs; raise it when a change gives another program for the same model
_FORM = 2
_CODE, _VALUES = "code", "values"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compiled:
    """A program for batches of one size. Implements `segmenter.program.Forward` for any number of chips."""

    forward: Forward
    batch: int

    def __call__(self, *chips: Tensor) -> Tensor:
        """Run the program on all chips, batch by batch; the last batch is padded with zeros."""
        count, missing = len(chips[0]), -len(chips[0]) % self.batch
        if missing:
            chips = tuple(torch.cat([chip, chip.new_zeros(missing, *chip.shape[1:])]) for chip in chips)
        groups = zip(*(torch.split(chip, self.batch) for chip in chips), strict=True)
        return torch.cat([self.forward(*group) for group in groups])[:count]


class Half(nn.Module):
    """A network with weights in half precision; its chips and logits are float32."""

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
    """Load the stored program of a set of sensors, or compile `network()` and store its program.

    Args:
        network: called if no program is stored; gives the network, which takes the chips of the set.
    """
    # torch trusts its own cache, which is by default a folder of /tmp that any user could have created
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache.place("inductor")))
    with cache.alone(_name(manifest, code, device, BATCH)):  # one worker compiles, the others wait
        return _kept(manifest, code, device) or make(manifest, code, device, network())


def _kept(manifest: Manifest, code: int, device: torch.device) -> Compiled | None:
    """The stored program with the largest batch, or None."""
    batch = BATCH
    while batch >= 1:
        if path := cache.lookup(_name(manifest, code, device, batch)):
            try:
                return Compiled(_load(path, device), batch)
            except Exception as error:  # of any kind: the network is compiled again
                _log.warning("%s: cannot be read (%s); the network is compiled again", path, error)
        batch //= 2
    return None


def make(manifest: Manifest, code: int, device: torch.device, network: nn.Module) -> Compiled:
    """Compile the network for this GPU and store the program. If that fails, it runs without compilation."""
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

    float16 and bfloat16 have the same speed. float16 has three more bits of precision, and the measured error
    of the logits was 16 times smaller (docs/measurements.md), but its largest number is 65,504. A network
    whose weights, or whose logits of random chips, exceed it runs in bfloat16.
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
    _log.warning("model %s: its numbers exceed the range of float16; it runs in bfloat16", manifest.name)
    network.float().load_state_dict(kept)
    return Half(network, torch.bfloat16)


def example(manifest: Manifest, device: torch.device, batch: int, code: int = ALL) -> tuple[Tensor, ...]:
    """Random normalised chips of the sensors of a set, each (batch, bands, chip, chip)."""
    return tuple(
        torch.randn(batch, len(bands), manifest.chip, manifest.chip, device=device)
        for bit, bands in enumerate((OPTICAL_BANDS, RADAR_BANDS, DEM_BANDS))
        if code >> bit & 1
    )


def _make(manifest: Manifest, code: int, device: torch.device, module: nn.Module, batch: int) -> Forward:
    """Compile the module for batches of this size and store it. Raises `torch.OutOfMemoryError`."""
    chips = example(manifest, device, batch, code)
    with torch.inference_mode():
        module(*chips)  # if memory is too small, this fails before minutes are spent on compiling
    try:
        forward = _ahead_of_time(module, chips, _name(manifest, code, device, batch))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        _log.warning("the compiled network cannot be stored, so every process compiles it: %s", error)
    else:
        return forward
    try:
        forward = cast(Forward, torch.compile(module))
        with torch.inference_mode():
            forward(*chips)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        _log.warning("the network cannot be compiled here and runs without compilation: %s", error)
        return cast(Forward, module)
    return forward


def _ahead_of_time(module: nn.Module, chips: tuple[Tensor, ...], name: str) -> Forward:
    """Compile the module for chips of these shapes and store it in the cache."""
    from torch._inductor import standalone_compile
    from torch._inductor.async_compile import shutdown_compile_workers

    with torch.no_grad():
        exported = torch.export.export(module, chips)
        tensors = exported.state_dict | exported.constants
        values = [
            tensors[spec.target].detach()
            for spec in exported.graph_signature.input_specs
            if spec.kind != InputKind.USER_INPUT
        ]
        try:
            artifact: Any = standalone_compile(exported.graph_module, [*values, *chips])
        finally:
            shutdown_compile_workers()  # torch would keep them, idle, until this process ends

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

    config.compile_threads = 1  # nothing is compiled, so torch need not start processes for it
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
        # the code was compiled for contiguous chips
        return self.artifact(*self.values, *(chip.contiguous() for chip in chips))[0]


def _name(manifest: Manifest, code: int, device: torch.device, batch: int) -> str:
    """File name of the program of a model, set of sensors, type of GPU, version of torch and batch."""
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    text = json.dumps([_FORM, chip, torch.version.cuda, batch, made_from(manifest, code)])
    return f"gpu-{hashlib.sha256(text.encode()).hexdigest()}.pt"
