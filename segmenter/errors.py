"""Errors of the package `segmenter`, with a common base class."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing this module must not import pydantic
    from pydantic import ValidationError


class SegmenterError(Exception):
    """Base class; the message names the cause, the place and a remedy."""


class ManifestError(SegmenterError):
    """A manifest is missing or malformed, or does not belong to the weights beside it."""


class WeightsError(SegmenterError):
    """Weights cannot be read, or do not fit the architecture of the manifest."""


class InputError(SegmenterError):
    """Input arrays have a wrong shape or too small a halo."""


class OutputError(SegmenterError):
    """A model's answer is not finite on pixels with valid input."""


class CheckpointError(SegmenterError):
    """A checkpoint cannot be read, contains objects that must not be read, or cannot be imported."""


class HubError(SegmenterError):
    """A file of a model hub cannot be downloaded, or has another digest than expected."""


class RegistryError(SegmenterError):
    """A model is not in the registry, or its folder does not exist."""


def fields_at_fault(error: ValidationError) -> str:
    """All problems of a file in one line, each as "field.path: reason"."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False)
    )
