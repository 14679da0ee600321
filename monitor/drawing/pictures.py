"""Pictures as files, and text in pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.errors import MonitorError, RefusedError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
#: settings under which text is drawn as it is; by default `$…$` is a formula, also in a name or an address
PLAIN_TEXT: dict[Any, Any] = {"text.parse_math": False, "text.usetex": False}


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw text as it is; also a decorator of functions that draw."""
    from matplotlib import rc_context

    with rc_context(PLAIN_TEXT), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a character that the font lacks is drawn as a box
        yield


def check_picture(path: Path, option: str) -> None:
    """Check, before any work, that `path` can be the file of a picture.

    Raises:
        RefusedError: its suffix is another, its folder is missing, or it is a folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise RefusedError(f"{option} {path}: a picture is a {' or a '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise RefusedError(f"{option} {path}: there is no folder {path.parent}; create it first")
    if path.exists() and not path.is_file():
        raise RefusedError(f"{option} {path} is not a file; give the name of a file")


def save_picture(figure: Figure, path: Path, **options: Any) -> None:
    """Write a figure, completely or not at all; a picture that is there is replaced.

    Raises:
        MonitorError: the file cannot be written.
    """
    with plain_text(), whole(path) as part:
        figure.savefig(part, **options)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` at the end, and is removed on failure.

    Raises:
        MonitorError: the file cannot be written.
    """
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise MonitorError(
            f"{path} cannot be written: {error.strerror or error}; nothing new was left there"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
