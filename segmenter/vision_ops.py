"""Let torchvision be imported beside a torch its compiled operators cannot be loaded with.

terratorch imports torchvision, which registers the shapes of two box operators as soon as it is imported and
stops there when they do not exist, as with a CPU build of torch beside torchvision's usual build.
TerraMind calls neither, so naming them is enough.
"""

import importlib.machinery
import importlib.util
from contextlib import suppress

import torch

_kept: list[torch.library.Library] = []  # a library's operators live as long as its handle


def name_missing_vision_ops() -> None:
    """Declare ``nms`` and ``qnms`` unless torchvision's own load. Call before importing terratorch."""
    if _kept or _real_ops_load():
        return
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    _kept.append(library)


def _real_ops_load() -> bool:
    """Whether torchvision's compiled operators are, or can be, loaded; found the way torchvision does."""
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
