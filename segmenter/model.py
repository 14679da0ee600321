"""A model: its manifest and its weights on a device, ready to predict."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from segmenter import dense, network
from segmenter.compiled import BATCH, Half, compiled, prepare
from segmenter.errors import ManifestError, SegmenterError, WeightsError
from segmenter.manifest import MANIFEST_FILE, WEIGHTS_FILE, Architecture, Manifest, digest_of, read_manifest
from segmenter.program import program
from segmenter.programs import Programs
from segmenter.protocol import Answer, Predicts, TileArrays
from segmenter.sensors import ALL


@dataclass(frozen=True, eq=False)
class Model(Predicts):
    """A loaded model. Implements `segmenter.protocol.Segmenter`; safe to share between threads."""

    manifest: Manifest
    forward: Callable[[Tensor | None, Tensor | None, Tensor | None], Tensor]
    """Logits (B, 1 + passes, H, W) of normalised chips (B, 12 | 2 | 1, H, W); None: the sensor is absent."""
    device: torch.device
    batch: int = 1
    """Chips of a forward pass. On a processor one at a time, on every core."""

    def logits(self, optical: Tensor | None, radar: Tensor | None, dem: Tensor | None) -> Tensor:
        """(B, 1 + passes, H, W) float32 logits on `device`; see `segmenter.protocol.ChipNetwork`."""
        chips = [None if part is None else part.to(self.device) for part in (optical, radar, dem)]
        count = next(len(part) for part in chips if part is not None)
        groups = (
            [None if part is None else part[first : first + self.batch] for part in chips]
            for first in range(0, count, self.batch)
        )
        with torch.inference_mode():
            return torch.cat([self.forward(*group).float() for group in groups])

    def predict_all(self, scenes: Iterable[TileArrays]) -> Iterator[Answer]:
        """The answers for several tiles; see `segmenter.protocol.Predicts.predict_all`."""
        return dense.predict_all([self], scenes)


def load(folder: Path | str, device: str = "auto", *, half: bool | None = None) -> Model:
    """The model in `folder`, checked and ready.

    Args:
        device: "auto" (CUDA when there is one), or a torch device.
        half: on a GPU, run in half precision, compiled for it: some minutes the first time on a machine,
            seconds after that. Without it, on CUDA. A processor always runs in single precision.

    Raises `ManifestError` when the manifest is wrong, `WeightsError` when the weights do not fit it.
    """
    folder, target = Path(folder), _device(device)
    with ThreadPoolExecutor(1) as pool:
        if target.type == "cuda" and half is not False:
            pool.submit(prepare, target)
        manifest = read_manifest(folder)  # whose digest of the weights takes seconds too
    network_of = partial(_network, folder, manifest)
    if target.type == "cpu":
        exported = Programs(manifest, lambda code: program(manifest, code, lambda: network_of(code)))
        return Model(manifest, exported, target)
    if target.type == "cuda" and half is not False:
        fast = Programs(manifest, lambda code: compiled(manifest, code, target, lambda: network_of(code)))
        return Model(manifest, fast, target, fast.full.batch)
    module = network_of(ALL).to(target)
    return Model(manifest, Half(module, torch.float16) if half else module, target, BATCH)


def _network(folder: Path, manifest: Manifest, code: int) -> network.Chips:
    """The network for a set of sensors with its weights, and an output more for every dropout pass."""
    if manifest.architecture is None:
        raise ManifestError(f"{folder}: architecture: is not named, so this is no network but an index")
    weights = _read_weights(folder / WEIGHTS_FILE, manifest.digest)
    module = network.build_network(manifest.architecture, manifest.inputs.S1.kind)
    _fill(module, weights, manifest.name, manifest.architecture)
    return network.Chips(module, manifest, code).eval()


def save(folder: Path | str, module: nn.Module, manifest: Manifest, *, half: bool = True) -> Manifest:
    """Write a model that `load` reads; returns the manifest as written, with the digest of these weights.

    The digest that `manifest` carries is replaced (`manifest.NO_WEIGHTS` stands where there is none yet).
    `half` stores float16, half the size, but for the tensors whose numbers it cannot hold. The manifest comes
    last: a folder left half-written is refused by its digest.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: _stored(value, half) for name, value in module.state_dict().items()}
    _replace(folder / WEIGHTS_FILE, safetensors.torch.save(weights))
    written = manifest.model_copy(update={"digest": digest_of(folder / WEIGHTS_FILE)})
    _replace(folder / MANIFEST_FILE, (written.model_dump_json(indent=2) + "\n").encode())
    return written


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not (half and value.is_floating_point()):
        return value
    smaller = value.half()
    return smaller if smaller.isfinite().all() else value


def _replace(path: Path, content: bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one."""
    beside = path.with_name(f"{path.name}.part")
    beside.write_bytes(content)
    beside.replace(path)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SegmenterError(f"device: {name!r} cannot be used ({reason}); try 'auto' or 'cpu'") from error
    return device


def _read_weights(path: Path, digest: str) -> dict[str, Tensor]:
    """Weights by name, of the very bytes that have this digest.

    They may lie on disk as float16 and come back as float32.
    """
    try:
        content = path.read_bytes()
        stored = safetensors.torch.load(content)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors ({error})") from error
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise WeightsError(f"{path}: was changed while it was read; start again")
    not_finite = [name for name, value in stored.items() if not value.isfinite().all()]
    if not_finite:
        raise WeightsError(
            f"{path}: {len(not_finite)} weights are not finite, {not_finite[0]} among them; the training "
            "diverged or the file is damaged, use another model"
        )
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}


def _fill(module: nn.Module, weights: dict[str, Tensor], name: str, architecture: Architecture) -> None:
    wanted = module.state_dict()
    problems = [f"{key} is missing" for key in wanted.keys() - weights.keys()]
    problems += [f"{key} is not part of the architecture" for key in weights.keys() - wanted.keys()]
    problems += [
        f"{key} is {tuple(weights[key].shape)}, must be {tuple(wanted[key].shape)}"
        for key in wanted.keys() & weights.keys()
        if weights[key].shape != wanted[key].shape
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:3])
        raise WeightsError(
            f"model {name}: architecture: {len(problems)} weights do not fit "
            f"{architecture.backbone} with {architecture.decoder}: {shown}"
        )
    module.load_state_dict(weights)
