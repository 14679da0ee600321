"""The base of all errors of `monitor`. Every message says what is wrong, where, and what to do about it."""


class MonitorError(Exception):
    """An error that the user can correct; shown as one message, without a traceback."""


class RefusedError(MonitorError):
    """Bad settings, arguments or inputs, found before any work started (exit code 2)."""


class AssetError(MonitorError):
    """One file of the archive could not be read; it names the item, the asset and the address.

    Attributes:
        item: STAC item id.
        asset: asset key.
        href: address of the file.
    """

    def __init__(self, item: str, asset: str, href: str, cause: str) -> None:
        super().__init__(f"{item}: asset {asset} at {href} cannot be read: {cause}")
        self.item, self.asset, self.href, self.cause = item, asset, href, cause

    def alone(self) -> "AssetError":
        """The same error without its cause, so that it can be sent to another process."""
        return AssetError(self.item, self.asset, self.href, self.cause)

    def __reduce__(self) -> tuple[type["AssetError"], tuple[str, str, str, str]]:
        return AssetError, (self.item, self.asset, self.href, self.cause)
