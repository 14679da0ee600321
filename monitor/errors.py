"""The base class of the errors of this package. Every message names the problem, its place, and a remedy."""

from storage.redaction import redacted


class MonitorError(Exception):
    """An error that the user can fix; shown as a message without a traceback, and without secrets."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(str(message)))


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

    def __init__(self, item: str, asset: str, href: str, cause: str) -> None:
        super().__init__(f"{item}: asset {asset} at {href} cannot be read: {cause}")
        self.item, self.asset, self.href, self.cause = item, asset, redacted(href), redacted(cause)

    def detached(self) -> "AssetError":
        """A copy without traceback and context, which can be kept and sent to other processes."""
        return AssetError(self.item, self.asset, self.href, self.cause)

    def __reduce__(self) -> tuple[type["AssetError"], tuple[str, str, str, str]]:
        return AssetError, (self.item, self.asset, self.href, self.cause)
