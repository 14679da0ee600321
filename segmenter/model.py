"""A model: its manifest and its weights on a device, ready to predict."""

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from segmenter import dense, network
from segmenter.errors import SegmenterError, WeightsError
from segmenter.manifest import MANIFEST_FILE, WEIGHTS_FILE, Manifest, digest_of, read_manifest
from segmenter.protocol import Pixels


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. Implements `segmenter.protocol.Segmenter`; safe to share between threads."""

    manifest: Manifest
    network: nn.Module
    device: torch.device
    bf16: bool = False
    """Run the network in bfloat16 (CUDA only): faster, and the logits lose digits."""

    def logits(self, optical: Tensor, radar: Tensor, dem: Tensor) -> Tensor:
        """(B, H, W) float32 logits on the model's device of normalised chips (B, 12 | 2 | 1, H, W)."""
        chips = (chip.to(self.device) for chip in (optical, radar, dem))
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return network.logits(self.network, self.manifest.inputs.S1.kind, *chips).float()

    def predict(
        self,
        optical: Pixels,
        radar: Pixels,
        dem: Pixels,
        *,
        row: int,
        col: int,
        halo: int,
        batch: int = dense.DEFAULT_BATCH,
    ) -> Pixels:
        """Probability of water for every pixel of a tile; see `segmenter.protocol.Segmenter.predict`."""
        return dense.predict(self, optical, radar, dem, row=row, col=col, halo=halo, batch=batch)


def load(folder: Path | str, device: str = "auto", *, bf16: bool = False) -> Model:
    """The model in `folder`, checked and ready. `device`: "auto" (CUDA when there is one), or a torch device.

    Raises `ManifestError` when the manifest is wrong, `WeightsError` when the weights do not fit it.
    """
    manifest = read_manifest(folder)
    target = _device(device, bf16)
    weights = _read_weights(Path(folder) / WEIGHTS_FILE)
    module = network.build_network(manifest.architecture, manifest.inputs.S1.kind)
    _fill(module, weights, manifest)
    return Model(manifest, module.to(target).eval(), target, bf16)


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


def _device(name: str, bf16: bool) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SegmenterError(f"device: {name!r} cannot be used ({reason}); try 'auto' or 'cpu'") from error
    if bf16 and device.type != "cuda":
        raise SegmenterError(f"bf16: needs a CUDA device, this is {name!r}; leave it off")
    return device


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by name. They may lie on disk as float16 and come back as float32."""
    try:
        stored = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors ({error})") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}


def _fill(module: nn.Module, weights: dict[str, Tensor], manifest: Manifest) -> None:
    wanted = module.state_dict()
    problems = [f"{name} is missing" for name in wanted.keys() - weights.keys()]
    problems += [f"{name} is not part of the architecture" for name in weights.keys() - wanted.keys()]
    problems += [
        f"{name} is {tuple(weights[name].shape)}, must be {tuple(wanted[name].shape)}"
        for name in wanted.keys() & weights.keys()
        if weights[name].shape != wanted[name].shape
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:3])
        raise WeightsError(
            f"model {manifest.name}: architecture: {len(problems)} weights do not fit "
            f"{manifest.architecture.backbone} with {manifest.architecture.decoder}: {shown}"
        )
    module.load_state_dict(weights)
