"""Fit the network: AdamW, warm-up and cosine schedule, masked cross-entropy and Dice, with checkpoints."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from segmenter.manifest import SENSORS, Inputs, ModalityName
from segmenter.network import build_network
from segmenter.network import logits as logits_of
from segmenter.normalise import normalise, relief
from training.attention import plain_attention
from training.chip_files import ChipFiles
from training.chips import Batch, ChipSource
from training.errors import TrainingError
from training.graphs import capture
from training.recipe import ARCHITECTURE, Recipe

#: entries of a checkpoint
_PARTS = {"recipe", "inputs", "network", "average", "optimiser", "losses"}

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_SECONDS = 120.0
#: number of last steps over which the reported loss is averaged
SHOWN = 50


@dataclass(frozen=True)
class Machine:
    """Device and arithmetic; they affect rounding, not the recipe."""

    device: str = "auto"
    #: use bfloat16 in the network; faster on CUDA and on CPUs with bfloat16 multiplication
    bf16: bool = False
    #: compile the network; takes two minutes and makes steps a quarter faster
    compiled: bool = False
    #: processes that draw the batches of coming steps, 0 to draw them between the steps; by default 0 on a
    #: processor, and one for each core beside a GPU
    readers: int | None = None

    @property
    def torch_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @property
    def reading_processes(self) -> int:
        if self.readers is not None:
            return self.readers
        return 0 if self.torch_device.type == "cpu" else len(os.sched_getaffinity(0))

    def describe(self) -> str:
        """Kind of machine, for the model's card."""
        kind = "one GPU" if self.torch_device.type == "cuda" else f"{torch.get_num_threads()} processor cores"
        return f"{kind}, {'bfloat16' if self.bf16 else 'float32'}"


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained network with averaged weights, on the CPU, and the loss of every step."""

    network: nn.Module
    losses: list[float]


class Trainer:
    """Network, optimiser and averaged weights, with the losses of all steps."""

    def __init__(self, recipe: Recipe, inputs: Inputs, machine: Machine) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.inputs, self.machine = recipe, inputs, machine
        self.device = machine.torch_device
        network = with_dropout(build_network(ARCHITECTURE, inputs.S1.kind), recipe.dropout)
        self.network = network.to(self.device).train()
        mean = get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.network, multi_avg_fn=mean, use_buffers=True)
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.network, recipe.weight_decay), lr=recipe.rate_at(0)
        )
        self.losses: list[float] = []
        #: on a GPU, the network's passes for each set of sensors
        self._captured: dict[tuple[ModalityName, ...], Callable[..., Tensor]] = {}
        if machine.compiled:
            self.network.compile(dynamic=False)

    @property
    def step(self) -> int:
        """Number of completed steps."""
        return len(self.losses)

    def advance(self, batch: Batch) -> float:
        """Train one step on `batch` and return its loss.

        Raises:
            TrainingError: the loss is not finite.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        # the dropped channels depend only on seed and step, like the chips
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
        value = self.loss(batch)
        loss = value.item()
        if not math.isfinite(loss):
            raise TrainingError(f"step {self.step}: the loss is {loss}; lower the rate")
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.losses.append(loss)
        return loss

    def loss(self, batch: Batch) -> Tensor:
        """Loss of `batch`, with gradients."""
        parts = (batch.optical, batch.radar, batch.dem, batch.water, batch.known)
        optical, radar, dem, water, known = (part.to(self.device) for part in parts)
        chips = normalise(optical, radar, dem, self.inputs)
        s2, s1, ground = (
            part if name in batch.sensors else None for name, part in zip(SENSORS, chips, strict=True)
        )
        if ground is not None:
            ground = relief(ground, self.inputs.DEM)
        logits = self._logits(batch.sensors, (s2, s1, ground))
        return masked_loss(logits.float(), water, known, self.recipe.dice)

    def _logits(self, sensors: tuple[ModalityName, ...], chips: tuple[Tensor | None, ...]) -> Tensor:
        """(B, H, W) logits of normalised chips, with gradients."""
        kind, bf16 = self.inputs.S1.kind, self.machine.bf16
        if self.device.type == "cuda" and not self.machine.compiled:
            if sensors not in self._captured:
                self._captured[sensors] = capture(self.network, kind, chips, bf16)
            return self._captured[sensors](*(part for part in chips if part is not None))
        with (
            plain_attention(self.device.type == "cpu"),
            torch.autocast(self.device.type, torch.bfloat16, enabled=bf16),
        ):
            return logits_of(self.network, kind, *chips)

    def save(self, path: Path) -> None:
        """Write a checkpoint; the previous one is replaced when the new one is complete."""
        state = {
            "recipe": self.recipe.as_dict(),
            "inputs": self.inputs.model_dump(),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "losses": self.losses,
        }
        unfinished = path.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path) -> None:
        """Load the checkpoint at `path`.

        Raises:
            TrainingError: it was made with another recipe or from other scenes, or is not a checkpoint.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            missing = _PARTS - set(state)
        except (RuntimeError, ValueError, OSError, EOFError, KeyError, TypeError, UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TrainingError(
                f"{path}: cannot be read as a checkpoint of weights and plain values ({reason}); delete "
                "it to start again"
            ) from error
        if missing:
            raise TrainingError(f"{path}: has no {', '.join(sorted(missing))}; delete it to start again")
        for key, mine in (("recipe", self.recipe.as_dict()), ("inputs", self.inputs.model_dump())):
            if state[key] != mine:
                raise TrainingError(
                    f"{path}: was made with another {key}; delete it, or repeat the arguments of its run"
                )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.losses = list(state["losses"])

    def fitted(self) -> Fitted:
        """A copy of the network with the averaged weights."""
        return Fitted(copy.deepcopy(self.average.module).cpu().eval(), list(self.losses))


def with_dropout(network: nn.Module, share: float) -> nn.Module:
    """Add dropout of whole channels before the 1x1 convolution of the network's head.

    The passes of a prediction drop channels at the same place (`segmenter.members`). Names of weights do not
    change.

    Raises:
        TrainingError: the head is not terratorch's with a 1x1 convolution.
    """
    _head(network)[1] = nn.Dropout2d(share)
    return network


def shift_logits(network: nn.Module, shift: float) -> None:
    """Add `shift` to every logit of `network`, through the bias of its head's last convolution."""
    bias = cast(nn.Conv2d, _head(network)[2]).bias
    if bias is None:
        raise TrainingError("network: its head has no bias to calibrate; build it with segmenter.network")
    with torch.no_grad():
        bias += shift


def _head(network: nn.Module) -> nn.Sequential:
    """The head's layers: convolutions, a placeholder for dropout, a 1x1 convolution."""
    layers = getattr(getattr(network, "head", None), "head", None)
    if not isinstance(layers, nn.Sequential) or len(layers) != 3 or not isinstance(layers[2], nn.Conv2d):
        raise TrainingError("network: its head is not terratorch's; build it with segmenter.network")
    return layers


def parameter_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weights with decay; biases and norms without."""
    groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups[parameter.ndim < 2].append(parameter)
    return [{"params": groups[0], "weight_decay": decay}, {"params": groups[1], "weight_decay": 0.0}]


def masked_loss(logits: Tensor, water: Tensor, known: Tensor, dice: float) -> Tensor:
    """Binary cross-entropy over the batch plus `dice` times the mean of the chips' soft Dice.

    The soft Dice (Milletari et al. 2016) is that of each chip, so that a reservoir does not outweigh small
    lakes in other chips.

    Args:
        logits: (B, H, W).
        water: (B, H, W) share of water 0..1.
        known: (B, H, W) 1 for pixels in both terms, 0 for pixels in neither.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, water, weight=known, reduction="sum")
    probability = logits.sigmoid() * known
    target = water * known
    overlap = (probability * target).sum(dim=(1, 2))
    squares = (probability.square() + target.square()).sum(dim=(1, 2))
    return entropy / known.sum().clamp(min=1) + dice * (1 - (2 * overlap + 1) / (squares + 1)).mean()


def fit(chips: Sequence[ChipFiles], recipe: Recipe, inputs: Inputs, folder: Path, machine: Machine) -> Fitted:
    """Train on `chips` for `recipe.steps` steps, starting from the checkpoint in `folder` if there is one.

    Raises:
        TrainingError: the checkpoint belongs to another run, or training diverged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    source, trainer = ChipSource(chips, recipe), Trainer(recipe, inputs, machine)
    if checkpoint.exists():
        trainer.resume(checkpoint)
    saved = time.monotonic()
    readers = machine.reading_processes
    batches = DataLoader(_Steps(source, trainer.step, recipe.steps), batch_size=None, num_workers=readers)
    with _progress(trainer) as show:
        for batch in batches:
            trainer.advance(batch)
            show()
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                trainer.save(checkpoint)
                saved = time.monotonic()
                show(note="checkpoint saved")
    trainer.save(checkpoint)
    return trainer.fitted()


class _Steps(Dataset[Batch]):
    """The batches of the steps from `first` to `end`, in order. Any process can draw one."""

    def __init__(self, source: ChipSource, first: int, end: int) -> None:
        self._source, self._steps = source, range(first, end)

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> Batch:
        return self._source.batch(self._steps[index])


@contextmanager
def _progress(trainer: Trainer) -> Iterator[Any]:
    """Show a progress bar with the mean loss; yields a function to call after each step."""
    columns = (
        TextColumn("fitting"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"),
        TextColumn("loss {task.fields[loss]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns) as progress:
        task = progress.add_task("fit", total=trainer.recipe.steps, completed=trainer.step, loss="-")

        def show(note: str = "") -> None:
            last = trainer.losses[-SHOWN:]
            mean = f"{sum(last) / len(last):.4f}"
            progress.update(task, completed=trainer.step, loss=mean)
            if note:  # for log files, in which no bar appears
                progress.console.print(f"{trainer.step} steps, loss {mean}: {note}")

        yield show
