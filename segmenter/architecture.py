"""Architecture of a network, as it is stated in a manifest."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PositiveInt, field_validator, model_validator

from segmenter.sensors import ModalityName

PATCH = 16
"""Edge of the encoder's patches, px; a chip is a multiple of it."""


class Architecture(BaseModel):
    """Architecture of a network; ``segmenter.network.build_network`` builds it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backbone: Literal["terramind_v1_tiny", "terramind_v1_small", "terramind_v1_base", "terramind_v1_large"]
    modalities: Annotated[tuple[ModalityName, ...], Field(min_length=1)] = ("S2L2A", "S1", "DEM")
    """Inputs of the network, in its order."""
    merge: Literal["mean", "max", "concat"] = "mean"
    """Method by which the tokens of the modalities at one position are merged."""
    image_size: Annotated[int, Field(gt=0, multiple_of=PATCH)] = 224
    """Edge of the chips that the position embeddings were made for, px."""
    indices: tuple[int, int, int, int] | None = None
    """Encoder blocks whose tokens the decoder takes, shallow to deep, with terratorch's learned pyramid."""
    necks: tuple[dict[str, JsonValue], ...] | None = None
    """Other necks of terratorch by name with their options, in place of `indices`."""
    decoder: Annotated[str, Field(pattern=r"^\w+$")] = "UperNetDecoder"
    """One of terratorch's decoders without a head of its own."""
    decoder_channels: PositiveInt | tuple[PositiveInt, ...] | None = 256
    """One number, or one per level, or null for a decoder without this argument."""
    decoder_scale_modules: bool = False
    """Whether the decoder has rescaling layers on top of the neck's pyramid, as the published model."""
    decoder_options: dict[str, JsonValue] = {}
    """Other arguments of the decoder, by terratorch's names."""
    head_channels: tuple[PositiveInt, ...] = ()
    """Channels of the head's convolutions before the last one."""

    @field_validator("indices")
    @classmethod
    def _ascending(cls, indices: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if indices is not None and (indices[0] < 0 or any(a >= b for a, b in pairwise(indices))):
            raise ValueError(f"block numbers must ascend from 0 or more, got {indices}")
        return indices

    @field_validator("modalities")
    @classmethod
    def _each_once(cls, modalities: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(modalities)) < len(modalities):
            raise ValueError(f"each modality can be named once, got {' '.join(modalities)}")
        return modalities

    @field_validator("necks")
    @classmethod
    def _named(
        cls, necks: tuple[dict[str, JsonValue], ...] | None
    ) -> tuple[dict[str, JsonValue], ...] | None:
        if necks is not None and not all(isinstance(neck.get("name"), str) for neck in necks):
            raise ValueError("every neck needs its name, such as {name: SelectIndices, indices: [...]}")
        return necks

    @model_validator(mode="after")
    def _one_way_to_the_decoder(self) -> Self:
        if (self.indices is None) == (self.necks is None):
            raise ValueError("indices: give either the encoder blocks that the decoder takes, or `necks`")
        return self
