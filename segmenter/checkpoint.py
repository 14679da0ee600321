"""Read the network's weights from checkpoints of other programs without running code that they contain."""

import argparse
import pathlib
import pickle
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from segmenter.errors import CheckpointError
from segmenter.vision_ops import name_missing_vision_ops

ROOTS = ("encoder", "neck", "decoder", "head")
"""Parts of terratorch's network. Other parts of a checkpoint have no effect on a prediction."""
UNUSED = "encoder.missing_mod_token"
"""Token of a missing modality; never used here, and left uninitialised by terratorch."""
WRAPPERS = ("model", "module")
"""Prefixes that Lightning's tasks and torch's parallel wrappers add to the names of weights."""
COMPILED = "_orig_mod"
"""Part that `torch.compile` adds to the names of weights, before any compiled module."""


@dataclass(frozen=True)
class Dropped:
    """A part of a checkpoint that is not imported."""

    what: str
    tensors: int
    size: int
    """Size of its tensors in bytes."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights and metadata of a checkpoint."""

    weights: dict[str, Tensor]
    """Weights of the network by terratorch's names, as stored."""
    arguments: dict[str, Any] | None = None
    """`model_args` of terratorch's task, None where another program wrote the checkpoint."""
    class_names: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    """Provenance: epoch, global_step, version of Lightning."""
    dropped: tuple[Dropped, ...] = ()


def read_checkpoint(path: Path | str, *, unsafe: bool = False) -> Checkpoint:
    """Read a checkpoint of torch or Lightning, or a plain state dict.

    Tensors are memory-mapped, so optimiser states use no memory. Plain values and a few harmless classes are
    read; with `unsafe` the pickle is executed, which can run any code.

    Raises:
        CheckpointError: no such file, another format, objects that must not be read (all are named), no
            weights of terratorch's network, or weights that are not finite.
    """
    path = Path(path)
    content = _load(path, unsafe)
    state, dropped = _state(content, path)
    weights, others = _network_weights(state, path)
    task = content.get("hyper_parameters")
    task = task if isinstance(task, Mapping) else {}
    factory = task.get("model_factory")
    if factory not in (None, "EncoderDecoderFactory"):
        raise CheckpointError(
            f"{path}: model_factory: {factory} is not supported, only terratorch's EncoderDecoderFactory is"
        )
    arguments = task.get("model_args")
    names = task.get("class_names") or ()
    return Checkpoint(
        weights,
        dict(arguments) if isinstance(arguments, Mapping) and "backbone" in arguments else None,
        tuple(map(str, names)),
        {name: content[name] for name in ("epoch", "global_step", "pytorch-lightning_version")
         if isinstance(content.get(name), int | str)},
        (*others, *dropped),
    )  # fmt: skip


def _load(path: Path, unsafe: bool) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give the checkpoint's path")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path}: is not a checkpoint that torch wrote (1.6 or later), or is cut short; download it "
            "again. A clone of a hub repository without Git LFS contains short text files in place of such "
            "files"
        )
    if unsafe:
        name_missing_vision_ops()  # classes in the pickle may import torchvision
        how: dict[str, Any] = {"weights_only": False, "pickle_module": _TOLERANT}
    else:
        how = {"weights_only": True}
    with safe_globals(_harmless()):
        try:
            foreign = [] if unsafe else sorted(get_unsafe_globals_in_checkpoint(path))
            if not foreign:
                content = torch.load(path, map_location="cpu", mmap=True, **how)
        except (RuntimeError, ValueError, OSError, EOFError, KeyError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(f"{path}: cannot be read as a checkpoint of torch ({reason})") from error
    if foreign:
        raise CheckpointError(
            f"{path}: holds objects of {', '.join(foreign)}, and reading such objects can run any code. Ask "
            "for a checkpoint of weights and plain values; or, if you trust the author of this file, read it "
            "with --unsafe-pickle"
        )
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: holds a {type(content).__name__}, not a checkpoint; save its state_dict()"
        )
    return content


def _state(content: dict[str, Any], path: Path) -> tuple[dict[str, Tensor], list[Dropped]]:
    """The state dict of a checkpoint, and the other parts that contain tensors."""
    if "state_dict" not in content:
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return content, []
        raise CheckpointError(
            f"{path}: has no state_dict, only {', '.join(map(str, content))[:200] or 'nothing'}; "
            "a checkpoint of Lightning has one"
        )
    state = {str(k): v for k, v in content["state_dict"].items() if isinstance(v, Tensor)}
    beside = [(key, list(_tensors(value))) for key, value in content.items() if key != "state_dict"]
    return state, [_dropped(str(key), tensors) for key, tensors in beside if tensors]


def _network_weights(state: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], list[Dropped]]:
    """The network's weights by terratorch's names, and the other parts of a state dict."""
    weights: dict[str, Tensor] = {}
    others: dict[str, list[Tensor]] = defaultdict(list)
    for key, value in state.items():
        name = own_name(key)
        root = name.partition(".")[0]
        if root not in ROOTS:
            others[root].append(value)
        elif name in weights:
            raise CheckpointError(
                f"{path}: has several weights for {name}, one of them as {key}; keep those of one network"
            )
        else:
            weights[name] = value
    if not weights:
        raise CheckpointError(
            f"{path}: holds no network of terratorch: no weight of {', '.join(ROOTS)}, only of "
            f"{', '.join(sorted(others))[:200] or 'nothing'}"
        )
    for name, value in weights.items():
        if name != UNUSED and not value.isfinite().all():
            raise CheckpointError(f"{path}: {name} is not finite everywhere: the training diverged")
    return weights, [_dropped(root, tensors) for root, tensors in sorted(others.items())]


def own_name(key: str) -> str:
    """Name of a weight in terratorch's network, without the parts that tasks, wrappers and compilers add."""
    parts = [part for part in key.split(".") if part != COMPILED]
    while len(parts) > 1 and parts[0] in WRAPPERS:
        parts.pop(0)
    return ".".join(parts)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _dropped(what: str, tensors: list[Tensor]) -> Dropped:
    return Dropped(what, len(tensors), sum(tensor.nbytes for tensor in tensors))


def _value(value: Any = None, *_: Any) -> Any:
    """Replacement for the classes of named constants: returns the plain value."""
    return value


def _harmless() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Classes in checkpoints of Lightning and terratorch whose construction is harmless.

    Classes of another operating system or of terratorch are mapped to an equivalent one.
    """
    paths = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
    modules = ("pathlib", "pathlib._local")
    constants = ("terratorch.datasets.utils.HLSBands", "terratorch.datasets.utils.OpticalBands",
                 "terratorch.datasets.utils.SARBands")  # fmt: skip
    arrays = [(getattr(multiarray, name), f"{module}.multiarray.{name}")
              for module in ("numpy.core", "numpy._core") for name in ("scalar", "_reconstruct")]  # fmt: skip
    return [
        *((pathlib.PurePosixPath, f"{module}.{name}") for module in modules for name in paths),
        *((_value, name) for name in constants),
        *arrays,
        *(np.dtypes.__dict__[name] for name in np.dtypes.__all__),
        (argparse.Namespace, "terratorch.models.model.AuxiliaryHead"),
        np.dtype, np.ndarray, argparse.Namespace, datetime, timedelta,
    ]  # fmt: skip


class _Absent:
    """Replacement for objects whose class is not installed; accepts all operations of a pickle."""

    def __new__(cls, *_: Any, **__: Any) -> "_Absent":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def _take(self, *_: Any) -> None: ...

    __setstate__ = __setitem__ = append = extend = add = _take


class _TolerantUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return type(name, (_Absent,), {"__module__": module})


_TOLERANT = SimpleNamespace(Unpickler=_TolerantUnpickler, __name__=__name__)
"""Pickle module for `torch.load` that tolerates classes that are not installed."""
