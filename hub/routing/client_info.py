"""What other platforms are told of a role, and who is told (hubclientinfo).

Rules HC-03 … HC-09, HC-20, AM-37, AM-38, CR-30; decisions D-08, D-18.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hub.model.directory import Directory, PlatformStatus
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.types import format_datetime

CONNECTED: Final = "CONNECTED"
OFFLINE: Final = "OFFLINE"
PLANNED: Final = "PLANNED"
SUSPENDED: Final = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class RoleStanding:
    """One role with where its platform stands; `is_listed` now, or at least `was_ever_listed`."""

    platform_id: str
    status: str
    is_online: bool
    party: PartyId
    role: Role
    is_listed: bool
    was_ever_listed: bool
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """One ClientInfo: there is one for each role of a party (AM-37)."""

    party: PartyId
    role: str
    status: str
    last_updated: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is about."""
        party = self.party.folded
        return party.country_code, party.party_id, self.role

    def value(self) -> dict[str, Any]:
        """The OCPI object."""
        return {
            "party_id": self.party.party_id,
            "country_code": self.party.country_code,
            "role": self.role,
            "status": self.status,
            "last_updated": format_datetime(self.last_updated.astimezone(UTC)),
        }


def client_info(standing: RoleStanding) -> ClientInfo:
    """The ClientInfo of one role as it is now."""
    return ClientInfo(standing.party, standing.role.value, connection_status(standing), standing.last_updated)


def connection_status(standing: RoleStanding) -> str:
    """The ConnectionStatus of a role (HC-07, CR-30, D-08).

    A role that its platform lists no more is offline; one that it has never listed, invited after the rest, is planned.
    """
    status = PlatformStatus(standing.status)
    if status is PlatformStatus.SUSPENDED:
        return SUSPENDED
    if status is PlatformStatus.INVITED or not standing.was_ever_listed:
        return PLANNED
    can_be_reached = status is PlatformStatus.CONNECTED and standing.is_online and standing.is_listed
    return CONNECTED if can_be_reached else OFFLINE


def visible_to(directory: Directory, viewer_id: str, standings: Iterable[RoleStanding]) -> list[RoleStanding]:
    """What a platform is shown: the roles of others that any of its own may exchange data with (D-18)."""
    viewer = directory.platforms.get(viewer_id)
    own = {entry.role for entry in viewer.roles if not entry.is_quarantined} if viewer else frozenset()
    return [
        standing
        for standing in standings
        if standing.platform_id != viewer_id and any(directory.may_exchange(role, standing.role) for role in own)
    ]


def untold(told: Iterable[ClientInfo], current: Iterable[ClientInfo], now: datetime) -> list[ClientInfo]:
    """What a viewer has to be told so that it knows what is true, the latest change first.

    Something that it was told of and may not see any more is told to be suspended: nothing can be deleted (HC-07).
    """
    known = {info.key: info for info in told}
    latest = {info.key: info for info in current}
    changed = [info for key, info in latest.items() if key not in known or _differs(known[key], info)]
    gone = [
        ClientInfo(info.party, info.role, SUSPENDED, now)
        for key, info in known.items()
        if key not in latest and info.status != SUSPENDED
    ]
    return sorted((*changed, *gone), key=lambda info: info.last_updated, reverse=True)


def _differs(told: ClientInfo, current: ClientInfo) -> bool:
    return told.status != current.status or told.last_updated != current.last_updated
