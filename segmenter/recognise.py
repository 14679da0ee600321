"""Recognise the architecture of a checkpoint from the shapes of its weights and the arguments of its task.

The shapes determine most of it. The arguments, where terratorch wrote them, determine the encoder blocks that
the decoder takes, the merging of modalities, and the options of the decoder. This module does not import
torch.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from segmenter.errors import CheckpointError
from segmenter.manifest import DEM_BANDS, OPTICAL_BANDS, PATCH, RADAR_BANDS, ModalityName, S1Kind

Shapes = Mapping[str, tuple[int, ...]]

BANDS: dict[ModalityName, tuple[str, ...]] = {"S2L2A": OPTICAL_BANDS, "S1": RADAR_BANDS, "DEM": DEM_BANDS}
EMBEDDINGS: dict[str, tuple[ModalityName, S1Kind | None]] = {
    "untok_sen2l2a@224": ("S2L2A", None),
    "untok_sen1grd@224": ("S1", "grd"),
    "untok_sen1rtc@224": ("S1", "rtc"),
    "untok_dem@224": ("DEM", None),
}
"""TerraMind's names of the embeddings, with their modality and kind of backscatter."""
_SIZES = {(192, 12): "tiny", (384, 12): "small", (768, 12): "base", (1024, 24): "large"}
_OPTICAL_NAMES = dict(
    zip(
        ("COASTAL_AEROSOL", "BLUE", "GREEN", "RED", "RED_EDGE_1", "RED_EDGE_2", "RED_EDGE_3", "NIR_BROAD",
         "NIR_NARROW", "WATER_VAPOR", "SWIR_1", "SWIR_2"), OPTICAL_BANDS, strict=True,
    )
)  # fmt: skip
"""Names of the Sentinel-2 bands in terratorch."""
_KNOWN_FROM_SHAPES = {
    "backbone", "backbone_modalities", "backbone_bands", "backbone_img_size", "num_classes",
    "head_channel_list",
    # and those without effect on a prediction
    "backbone_pretrained", "backbone_ckpt_path", "backbone_drop_path_rate", "backbone_drop_rate",
    "backbone_attn_drop_rate", "backbone_modality_drop_rate", "head_dropout", "aux_decoders",
}  # fmt: skip
_WITHOUT_EFFECT = {"rescale": True, "image_size_out": None, "peft_config": None, "backbone_patch_size": PATCH,
                   "backbone_padding": "reflect", "num_outputs": None}  # fmt: skip
"""Values without effect: terratorch's defaults, or irrelevant for chips of whole patches."""
_PYRAMID = [
    {"name": "ReshapeTokensToImage", "remove_cls_token": False},
    {"name": "LearnedInterpolateToPyramidal"},
]
"""Necks that follow the selection of blocks in TerraMind's usual configuration."""
_EMBEDDING = re.compile(r"encoder\.encoder_embeddings\.(?P<name>[^.]+)\.")


@dataclass(frozen=True)
class Found:
    """Properties of a network found in a checkpoint."""

    architecture: dict[str, Any]
    """Fields of `segmenter.manifest.Architecture`, as far as they are known."""
    classes: int
    s1_kind: S1Kind | None = None
    """None where the network takes no backscatter."""
    bands: dict[ModalityName, tuple[str, ...]] = field(default_factory=dict)
    """Bands of each modality that the network takes, in its order."""


def recognise(shapes: Shapes, arguments: Mapping[str, Any] | None = None) -> Found:
    """Recognise a network from the shapes of its weights and the arguments of terratorch's task.

    Args:
        arguments: None where they are unknown.

    Raises:
        CheckpointError: the network is not TerraMind, or has a part that is not supported, which is named.
    """
    embeddings, kind = _embeddings(shapes)
    given = flat(arguments) if arguments is not None else None
    modalities = _ordered(list(embeddings), given)
    bands = {name: _bands(name, shapes[f"{key}proj.weight"], given) for name, key in embeddings.items()}
    architecture: dict[str, Any] = {
        "backbone": _backbone(shapes, given),
        "modalities": modalities,
        "image_size": PATCH * math.isqrt(shapes[f"{next(iter(embeddings.values()))}pos_emb"][1]),
    }
    head, classes = _head(shapes)
    architecture["head_channels"] = head
    architecture |= ({} if given is None else _from_arguments(given)) | _decoder(shapes)
    return Found(architecture, classes, kind, {name: bands[name] for name in modalities})


def _embeddings(shapes: Shapes) -> tuple[dict[ModalityName, str], S1Kind | None]:
    """Prefix of each modality's embedding, and the kind of backscatter."""
    names = sorted({match["name"] for key in shapes if (match := _EMBEDDING.match(key))})
    if not names:
        raise CheckpointError("the checkpoint's encoder is not TerraMind's: it has no encoder_embeddings")
    unknown = [name for name in names if name not in EMBEDDINGS]
    if unknown:
        raise CheckpointError(
            f"backbone_modalities: {', '.join(unknown)} is not supported; a model takes S2L2A, S1GRD or "
            "S1RTC, and DEM, or a subset of them"
        )
    kinds = [kind for name in names if (kind := EMBEDDINGS[name][1])]
    if len(kinds) > 1:
        raise CheckpointError("backbone_modalities: S1GRD and S1RTC at once are not supported, only one")
    found = {EMBEDDINGS[name][0]: f"encoder.encoder_embeddings.{name}." for name in names}
    return {name: found[name] for name in BANDS if name in found}, kinds[0] if kinds else None


def _backbone(shapes: Shapes, given: Mapping[str, Any] | None) -> str:
    if given is not None:
        name = str(given["backbone"])
        if not re.fullmatch(r"(terratorch_)?terramind_v(1|01)_(tiny|small|base|large)", name):
            raise CheckpointError(
                f"backbone: {name} is not supported; supported are TerraMind's plain encoders (tiny, small, "
                "base, large), without thinking in modalities and generation"
            )
    width = next(shape[-1] for key, shape in shapes.items() if _EMBEDDING.match(key))
    depth = 1 + max(
        (int(match[1]) for key in shapes if (match := re.match(r"encoder\.encoder\.(\d+)\.", key))),
        default=-1,
    )
    if (width, depth) not in _SIZES:
        raise CheckpointError(f"backbone: no TerraMind has {depth} blocks of {width} channels")
    return f"terramind_v1_{_SIZES[width, depth]}"


def modality_of(name: str) -> ModalityName | None:
    """The modality of a name in terratorch, such as S2L2A, sen1grd or untok_dem@224."""
    plain = name.lower().replace("_", "").replace("sen", "s")
    return next((modality for modality in BANDS if modality.lower() in plain), None)


def _ordered(found: list[ModalityName], given: Mapping[str, Any] | None) -> tuple[ModalityName, ...]:
    """The modalities in the order of the arguments, which matters where their tokens are concatenated."""
    named = (given or {}).get("backbone_modalities") or ()
    order = [modality_of(name) for name in named if isinstance(name, str)]
    return tuple(cast(list[ModalityName], order)) if set(order) == set(found) else tuple(found)


def _bands(name: ModalityName, weight: tuple[int, ...], given: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Bands of a modality whose patch projection has the shape (width, px of a patch x bands)."""
    count = weight[1] // PATCH**2
    named: dict[str, Any] = (given or {}).get("backbone_bands") or {}
    listed = next((bands for key, bands in named.items() if modality_of(key) == name), None)
    if listed is None and count == len(BANDS[name]):
        return BANDS[name]
    bands = tuple(_OPTICAL_NAMES.get(str(band), str(band)) for band in listed or ())
    unknown = [band for band in bands if band not in BANDS[name]]
    if unknown or len(bands) != count:
        raise CheckpointError(
            f"backbone_bands: {name}: the checkpoint takes {count} bands and names "
            f"{' '.join(bands) or 'none'}; they must be named, and be of {' '.join(BANDS[name])}"
        )
    return bands


def _head(shapes: Shapes) -> tuple[tuple[int, ...], int]:
    """Channels of the head's convolutions before the last, and the number of classes."""
    last = shapes.get("head.head.2.weight")
    if last is None or last[2:] != (1, 1):
        raise CheckpointError(
            "decoder: has a head of its own, which is not supported; a network with terratorch's "
            "segmentation head, whose last convolution is 1x1, is needed"
        )
    before = [(int(match[1]), shape[0]) for key, shape in shapes.items()
              if (match := re.fullmatch(r"head\.head\.0\.(\d+)\.0\.weight", key))]  # fmt: skip
    return tuple(channels for _, channels in sorted(before)), last[0]


def _decoder(shapes: Shapes) -> dict[str, Any]:
    """Fields of an UperNet decoder; none for other decoders, which only the arguments describe."""
    bottleneck = shapes.get("decoder.fpn_bottleneck.conv.weight")
    if bottleneck is None or "decoder.psp_modules.3.1.conv.weight" not in shapes:
        return {}
    return {
        "decoder": "UperNetDecoder",
        "decoder_channels": bottleneck[0],
        "decoder_scale_modules": any(key.startswith("decoder.fpn1.") for key in shapes),
    }


def flat(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """terratorch's arguments with grouped ones (`decoder_kwargs: ...`) under their individual names."""
    flat = dict(arguments)
    for part in ("backbone", "decoder", "head"):
        grouped = flat.pop(f"{part}_kwargs", None) or {}
        flat |= {f"{part}_{name}": value for name, value in grouped.items()}
    return flat


def _from_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields known only from the arguments. Raises CheckpointError for arguments of unknown effect."""
    left = {name: value for name, value in given.items() if name not in _KNOWN_FROM_SHAPES}
    fields: dict[str, Any] = {
        "decoder": left.pop("decoder", None),
        "decoder_channels": _plain(left.pop("decoder_channels", None)),
        "decoder_scale_modules": bool(left.pop("decoder_scale_modules", False)),
        "merge": left.pop("backbone_merge_method", "mean"),
        "decoder_options": {},
        **_necks(left.pop("necks", None) or ()),
    }
    for name in [*left]:
        if name.startswith("decoder_"):
            fields["decoder_options"][name.removeprefix("decoder_")] = _plain(left.pop(name))
        elif name in _WITHOUT_EFFECT and left[name] == _WITHOUT_EFFECT[name]:
            del left[name]
    if left:
        shown = ", ".join(f"{name}={value!r}"[:60] for name, value in left.items())
        raise CheckpointError(f"model_args: {shown} is not supported")
    return fields


def _necks(necks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """`indices` for TerraMind's usual pyramid, `necks` for anything else."""
    plain: list[dict[str, Any]] = [_plain(neck) for neck in necks]
    for neck in plain:
        if neck.get("name") == "ReshapeTokensToImage":
            neck["remove_cls_token"] = False  # TerraMind has no class token, as terratorch detects
    if plain[1:] == _PYRAMID and plain[0].get("name") == "SelectIndices":
        indices = plain[0].get("indices", [])
        if len(indices) == 4 and indices[0] >= 0 and indices == sorted(set(indices)):
            return {"indices": indices}
    return {"necks": plain}


def _plain(value: Any) -> Any:
    """The value converted to types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
