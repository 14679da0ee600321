"""Addresses as they can be read now: signed when read, so that no signature outlives its time."""

from __future__ import annotations

from monitor.profiles import CatalogProfile


def sign(href: str, profile: CatalogProfile) -> str:
    """`href` as it can be read now."""
    if profile.signing == "planetary-computer":
        import planetary_computer

        return str(planetary_computer.sign_url(href))
    return href
