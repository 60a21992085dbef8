"""OCPI version numbers, and which of two platforms' versions is spoken.

Source: OCPI 2.2.1, version_information_endpoint.
"""

from collections.abc import Iterable
from typing import Final

V2_2_1: Final = "2.2.1"

OFFERED: Final[tuple[str, ...]] = (V2_2_1,)
"""Versions that the hub speaks, oldest first. 2.1 and 2.2 are deprecated and never offered (VE-12)."""


def newest_common(theirs: Iterable[str], ours: Iterable[str] = OFFERED) -> str | None:
    """The newest version in both lists, or None. Unknown version strings of a partner are passed over (CR-04, VE-12)."""
    known = set(theirs)
    common = [version for version in ours if version in known]
    return max(common, key=_ordinal, default=None)


def _ordinal(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
