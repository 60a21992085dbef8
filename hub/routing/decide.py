"""Finds the one destination of a request.

Rules OF-03, OF-05, RT-09, RT-13, RT-20, AM-28, CR-30; decision D-08; section 14 of the hub rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hub.model.directory import Directory, PartyRole, Platform, PlatformStatus
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId
from hub.ocpi.status import PLATFORM_SUSPENDED, RECEIVER_NOT_CONNECTED, RECEIVER_UNKNOWN, ROUTING_FAULT, Refusal


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes: the party as registered, its platform and the URL of the interface called there."""

    party: PartyId
    platform_id: str
    url: str


def decide(
    directory: Directory, from_party: PartyId, from_platform: str, to_party: PartyId, module: str, interface: Interface
) -> Destination | Refusal:
    """The destination for a party, chosen by id, module and interface; only what the requester may see exists (AM-28).

    A platform that was suspended since its request was taken reaches nobody.
    """
    sender = directory.platforms.get(from_platform)
    if sender is not None and sender.status is PlatformStatus.SUSPENDED:
        return Refusal(PLATFORM_SUSPENDED, PLATFORM_SUSPENDED.message)
    visible = reachable(directory, from_party, from_platform, to_party)
    if not visible and _exchanging(directory, from_party, from_platform, directory.unlisted_roles_of(to_party)):
        return Refusal(RECEIVER_NOT_CONNECTED, f"{to_party} is not listed by its platform")
    if not visible:
        return Refusal(RECEIVER_UNKNOWN, f"{to_party} is not known to this hub, or not to {from_party}")
    platforms = [directory.platforms[platform_id] for platform_id in dict.fromkeys(e.platform_id for e in visible)]
    offering = [platform for platform in platforms if (module, interface) in platform.endpoints]
    connected = [platform for platform in offering if platform.is_connected]
    if connected:
        platform = connected[0]
        party = next(entry.party for entry in visible if entry.platform_id == platform.platform_id)
        return Destination(party, platform.platform_id, platform.endpoints[module, interface])
    if offering or not any(platform.is_connected for platform in platforms):
        return Refusal(RECEIVER_NOT_CONNECTED, f"{to_party} is {_state((offering or platforms)[0])}")
    return Refusal(ROUTING_FAULT, f"{to_party} does not offer {module} as {interface}")


def reachable(
    directory: Directory, from_party: PartyId, from_platform: str, to_party: PartyId
) -> tuple[PartyRole, ...]:
    """The roles under `to_party` with which `from_party` of this platform may exchange data."""
    return _exchanging(directory, from_party, from_platform, directory.roles_of(to_party))


def _exchanging(
    directory: Directory, from_party: PartyId, from_platform: str, theirs: Iterable[PartyRole]
) -> tuple[PartyRole, ...]:
    own = [entry.role for entry in directory.roles_of(from_party) if entry.platform_id == from_platform]
    return tuple([entry for entry in theirs if [role for role in own if directory.may_exchange(role, entry.role)]])


def _state(platform: Platform) -> str:
    if platform.status is PlatformStatus.CONNECTED:
        return "offline"
    return {
        PlatformStatus.INVITED: "not yet connected",
        PlatformStatus.UNREGISTERED: "not connected any more",
        PlatformStatus.SUSPENDED: "suspended",
    }[platform.status]
