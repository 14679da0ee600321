"""The base class of the errors of this package. Every message names the problem, its place, and a remedy."""

from typing import Self


class MonitorError(Exception):
    """An error that the user can fix; shown as a message without a traceback."""


class RefusedError(MonitorError):
    """Bad settings, arguments or inputs, found before any work started (exit code 2)."""


class AssetError(MonitorError):
    """A file of the archive could not be read.

    Attributes:
        item: STAC item id.
        asset: asset key.
        href: address of the file.
        cause: why it could not be read.
    """

    outcome = "cannot be read"

    def __init__(self, item: str, asset: str, href: str, cause: str) -> None:
        super().__init__(f"{item}: asset {asset} at {href} {self.outcome}: {cause}")
        self.item, self.asset, self.href, self.cause = item, asset, href, cause

    def detached(self) -> Self:
        """A copy without traceback and context, which can be kept and sent to other processes."""
        return type(self)(self.item, self.asset, self.href, self.cause)

    def __reduce__(self) -> tuple[type["AssetError"], tuple[str, str, str, str]]:
        return type(self), (self.item, self.asset, self.href, self.cause)


class ContentRefusedError(AssetError):
    """A file of the archive was read, but its numbers contradict its item or are impossible.

    Reading it again gives the same, so that a season goes on without its item.
    """

    outcome = "is refused"

    @classmethod
    def tells(cls, reason: str, item: str, asset: str, href: str) -> bool:
        """Whether the reason of a failed tile, as the ledger keeps it, is the refusal of this file."""
        return reason.startswith(str(cls(item, asset, href, "")))
