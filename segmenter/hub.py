"""Files of the Hugging Face hub, by repository, file and revision, and their digests."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segmenter.errors import HubError
from segmenter.manifest import digest_of


@dataclass(frozen=True)
class Fetched:
    """A file of the hub on this disk."""

    path: Path
    commit: str
    """What the revision asked for was when it was fetched."""


def fetch(repository: str, file: str, revision: str | None = None) -> Fetched:
    """Download a file, or find it in the hub library's cache; a connection that breaks is taken up again.

    `HF_ENDPOINT` names another hub, `HF_TOKEN` opens private repositories, `HF_HOME` moves the cache; they
    are read by the hub's library, as in its own tools. Progress is shown on the error stream.

    Raises:
        HubError: no such repository, revision or file; no way to the hub; no room; says what to do.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    endpoint = os.environ.get("HF_ENDPOINT") or None
    where = f"{endpoint or 'the hub'}: {repository}"
    try:
        path = Path(hf_hub_download(repository, file, revision=revision, endpoint=endpoint))
    except RepositoryNotFoundError as error:
        raise HubError(
            f"{where}: there is no such repository, or it is closed to you; check the name, and set HF_TOKEN "
            "for a private one"
        ) from error
    except RevisionNotFoundError as error:
        raise HubError(
            f"{where}: has no revision {revision!r}; name a branch, tag or commit of it"
        ) from error
    except LocalEntryNotFoundError as error:
        raise HubError(
            f"{where}: cannot be reached ({_cause(error)}), and {file} was never fetched here. {_OTHER_WAY}"
        ) from error
    except EntryNotFoundError as error:
        raise HubError(
            f"{where}: has no file {file} at {revision or 'its main branch'}; check its list of files"
        ) from error
    except Exception as error:  # the hub's library raises whatever its transport and the disk do
        raise HubError(f"{where}: {file} was not fetched: {_cause(error)}. {_OTHER_WAY}") from error
    return Fetched(path, path.parents[len(PurePosixPath(file).parts) - 1].name)


def check_digest(path: Path, expected: str | None, why: str = "") -> str:
    """SHA-256 of a file in hex; `HubError` where it is not the one expected. `why` says who expects it."""
    found = digest_of(path).removeprefix("sha256:")
    if expected is not None and found != expected.lower().removeprefix("sha256:"):
        raise HubError(
            f"{path.name}: sha256: is {found}, {why or 'expected'} {expected}; it is another file, or a "
            f"damaged one. If it was fetched by this program, delete {path} to fetch it anew"
        )
    return found


_OTHER_WAY = (
    "Try again, or fetch the file in a browser or on another machine and give it with "
    "`monitor model import NAME --checkpoint FILE`"
)


def _cause(error: BaseException) -> str:
    """The first line of what went wrong first."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
