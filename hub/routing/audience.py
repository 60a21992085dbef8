"""Who receives a broadcast push.

A platform that is away, or has ended its connection (D-08), stays in the audience: what it misses is marked.

Rules BP-02, BP-03, BP-04, BP-14, BP-18, AM-16, AM-29; section 8 of the hub rules.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from hub.model.delivery import Receiver
from hub.model.directory import Directory, PlatformStatus
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role

OWNER_ROLE: Final[Mapping[str, Role]] = {"locations": Role.CPO, "tariffs": Role.CPO, "tokens": Role.EMSP}
"""The role in which a party pushes to all, by module: only what is opposite to it receives."""

_NEVER: Final = frozenset({Role.HUB, Role.SCSP})
_KNOWN: Final = frozenset({PlatformStatus.CONNECTED, PlatformStatus.UNREGISTERED})
_NAP_MODULES: Final = frozenset({"locations", "tariffs"})

Origin = tuple[str, PartyId, str]
"""Platform and party that pushed, and the module."""


class Audiences:
    """The audiences under one snapshot of the directory, each worked out once."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self._found: dict[Origin, Mapping[Receiver, None]] = {}
        self.receivers: tuple[Receiver, ...] = tuple(_receivers(directory))
        """Every party on a platform that may receive anything at all."""

    def of(self, sender_platform: str, from_party: PartyId, module: str) -> Mapping[Receiver, None]:
        """Every receiver of a push, once each and in a fixed order; asked again with `in` right before each attempt."""
        origin = (sender_platform, from_party, module)
        found = self._found.get(origin)
        if found is None:
            found = self._found[origin] = dict.fromkeys(audience(self.directory, *origin))
        return found


def audience(directory: Directory, sender_platform: str, from_party: PartyId, module: str) -> Iterator[Receiver]:
    """The parties of opposite role on other platforms that offer the module as RECEIVER; a party may come twice."""
    role = OWNER_ROLE.get(module)
    if role is None or not _has_role(directory, sender_platform, from_party, role):
        return
    for platform in directory.platforms.values():
        if platform.platform_id == sender_platform or platform.status not in _KNOWN:
            continue
        if (module, Interface.RECEIVER) not in platform.endpoints:
            continue
        for entry in platform.roles:
            if entry.is_quarantined or entry.role in _NEVER:
                continue
            if entry.role is Role.NAP and module not in _NAP_MODULES:
                continue
            if directory.may_exchange(role, entry.role):
                yield Receiver(platform.platform_id, entry.party)


def _receivers(directory: Directory) -> Iterator[Receiver]:
    for platform in directory.platforms.values():
        if platform.status in _KNOWN and any(
            (module, Interface.RECEIVER) in platform.endpoints for module in OWNER_ROLE
        ):
            for party in platform.parties:
                yield Receiver(platform.platform_id, party)


def _has_role(directory: Directory, platform_id: str, party: PartyId, role: Role) -> bool:
    return any(entry.platform_id == platform_id and entry.role is role for entry in directory.roles_of(party))
