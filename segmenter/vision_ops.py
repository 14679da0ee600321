"""Make torchvision importable where its compiled operators do not fit the installed torch.

terratorch imports torchvision, which registers shapes for two box operators on import and fails when these do
not exist, for example with a CPU build of torch and the default build of torchvision. TerraMind calls neither
operator, so declaring them is enough.
"""

import importlib.machinery
import importlib.util
from contextlib import suppress

import torch

_kept: list[torch.library.Library] = []  # operators are removed when the handle of their library is deleted


def name_missing_vision_ops() -> None:
    """Declare ``nms`` and ``qnms`` unless those of torchvision load. Call it before importing terratorch."""
    if _kept or _real_ops_load():
        return
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    _kept.append(library)


def _real_ops_load() -> bool:
    """Whether torchvision's compiled operators are loaded or can be; searched as torchvision does."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return False
    loaders = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    finder = importlib.machinery.FileFinder(spec.submodule_search_locations[0], loaders)
    extension = finder.find_spec("_C")
    if extension is not None and extension.origin:
        with suppress(OSError):
            torch.ops.load_library(extension.origin)  # type: ignore[no-untyped-call]
    return hasattr(torch.ops.torchvision, "nms")
