"""Who receives a broadcast push.

Rules BP-02, BP-03, BP-04, BP-14, BP-18, AM-16, AM-29; section 8 of the hub rules.
"""

from typing import Final

from hub.model.delivery import Receiver
from hub.model.directory import Directory, PlatformStatus
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role

_NEVER: Final = frozenset({Role.HUB, Role.SCSP})
_NAP_MODULES: Final = frozenset({"locations", "tariffs"})


def audience(directory: Directory, sender_platform: str, from_party: PartyId, module: str) -> tuple[Receiver, ...]:
    """Every receiving party once: of opposite role, on another registered platform that offers the module as RECEIVER."""
    receivers = (
        Receiver(platform.platform_id, entry.party)
        for platform in directory.platforms.values()
        for entry in platform.roles
        if not entry.is_quarantined
    )
    return tuple(
        receiver
        for receiver in dict.fromkeys(receivers)
        if is_entitled(directory, receiver, sender_platform, from_party, module)
    )


def is_entitled(
    directory: Directory, receiver: Receiver, sender_platform: str, from_party: PartyId, module: str
) -> bool:
    """Whether a party may get a push now; asked again right before each attempt."""
    platform = directory.platforms.get(receiver.platform_id)
    if platform is None or platform.platform_id == sender_platform:
        return False
    if platform.status is not PlatformStatus.CONNECTED or (module, Interface.RECEIVER) not in platform.endpoints:
        return False
    senders = [entry.role for entry in directory.roles_of(from_party) if entry.platform_id == sender_platform]
    return any(
        directory.may_exchange(sender, role)
        for role in platform.party_roles(receiver.party)
        if role not in _NEVER and (role is not Role.NAP or module in _NAP_MODULES)
        for sender in senders
    )
