"""What a user of the segmenter can get wrong, under one base."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a command that only catches these need not wait for pydantic
    from pydantic import ValidationError


class SegmenterError(Exception):
    """The segmenter refuses: the message says what is wrong, where, and what to do."""


class ManifestError(SegmenterError):
    """A model's manifest is absent, malformed, or does not belong to the weights beside it."""


class WeightsError(SegmenterError):
    """A model's weights cannot be read, or do not fit the architecture its manifest names."""


class InputError(SegmenterError):
    """Arrays handed to the segmenter have the wrong shape, or lack the halo it needs."""


class CheckpointError(SegmenterError):
    """A checkpoint cannot be read, carries what must not be read, or cannot become a model."""


class HubError(SegmenterError):
    """A file of a model hub cannot be had, or is not the one that was asked for."""


class RegistryError(SegmenterError):
    """A model is not named in the registry, or is named there but not on this disk."""


def fields_at_fault(error: ValidationError) -> str:
    """One line for all that is wrong in a file: dotted field, then why."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False)
    )
