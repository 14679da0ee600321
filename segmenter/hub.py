"""Download files of the Hugging Face hub and check their digests."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segmenter.errors import HubError
from segmenter.manifest import digest_of


@dataclass(frozen=True)
class Fetched:
    """A downloaded file of the hub."""

    path: Path
    commit: str
    """Commit of the requested revision at the time of download."""


def fetch(repository: str, file: str, revision: str | None = None) -> Fetched:
    """Download a file, or find it in the cache of huggingface_hub, which resumes interrupted downloads.

    The environment variables of huggingface_hub apply: `HF_ENDPOINT` (another hub), `HF_TOKEN` (private
    repositories), `HF_HOME` (location of the cache). Progress is shown on standard error.

    Raises:
        HubError: no such repository, revision or file; the hub cannot be reached; the disk is full.
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
            f"{where}: the repository does not exist or is private; check the name, and set HF_TOKEN for a "
            "private one"
        ) from error
    except RevisionNotFoundError as error:
        raise HubError(
            f"{where}: has no revision {revision!r}; name a branch, tag or commit of it"
        ) from error
    except LocalEntryNotFoundError as error:
        raise HubError(
            f"{where}: cannot be reached ({_cause(error)}), and {file} is not in the cache. {_OTHER_WAY}"
        ) from error
    except EntryNotFoundError as error:
        raise HubError(
            f"{where}: has no file {file} at {revision or 'its main branch'}; check the repository's files"
        ) from error
    except Exception as error:  # errors of the transport and the disk pass through huggingface_hub
        raise HubError(f"{where}: {file} was not fetched: {_cause(error)}. {_OTHER_WAY}") from error
    return Fetched(path, path.parents[len(PurePosixPath(file).parts) - 1].name)


def check_digest(path: Path, expected: str | None, why: str = "") -> str:
    """Return the SHA-256 of a file in hex. Raises `HubError` where it differs from `expected`.

    `why` introduces the expected digest in the message.
    """
    found = digest_of(path).removeprefix("sha256:")
    if expected is not None and found != expected.lower().removeprefix("sha256:"):
        raise HubError(
            f"{path.name}: sha256: is {found}, {why or 'expected'} {expected}; it is another file, or a "
            f"damaged one. If this program downloaded it, delete {path} to download it again"
        )
    return found


_OTHER_WAY = (
    "Try again, or download the file in a browser or on another machine and pass it with "
    "`monitor model import NAME --checkpoint FILE`"
)


def _cause(error: BaseException) -> str:
    """First line of the message of the original error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
