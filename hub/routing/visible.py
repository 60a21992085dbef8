"""Whose objects a party may see in lists for all, and since when.

With open agreements a party sees another's objects since both are registered; the start of an agreement will count as well once
there are agreements.

Rules AM-35, GA-01; decision D-26.
"""

from collections.abc import Iterator
from datetime import datetime

from hub.model.directory import Directory, PartyRole
from hub.ocpi.parties import PartyId

Since = datetime | None
"""None: always, as far as the hub remembers."""


def visible_owners(directory: Directory, platform_id: str, viewer: PartyId) -> dict[PartyId, Since]:
    """The parties whose objects a party of this platform may see, folded."""
    own = [entry for entry in directory.roles_of(viewer) if entry.platform_id == platform_id]
    seen = {party: list(_moments(directory, own, entries)) for party, entries in directory.by_party.items()}
    return {party: _earliest(moments) for party, moments in seen.items() if moments}


def _moments(directory: Directory, own: list[PartyRole], others: tuple[PartyRole, ...]) -> Iterator[Since]:
    """For each pair of roles that may exchange: since when both were there."""
    for one in own:
        for other in others:
            if directory.may_exchange(one.role, other.role):
                yield max((since for since in (one.since, other.since) if since is not None), default=None)


def _earliest(moments: list[Since]) -> Since:
    known = [moment for moment in moments if moment is not None]
    return min(known) if len(known) == len(moments) else None
