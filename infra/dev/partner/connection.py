"""The one connection of this platform: which tokens open its door, and where the peer is.

Tokens by direction: *inbound* ones the peer shows to us, the *outbound* one we show to the peer. The invitation is
the one-time token with which a stranger may register here; it opens versions and credentials only.
"""

import asyncio
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from infra.dev.partner.wire import new_token, presented_tokens, shortened
from infra.dev.partner.words import Interface


class Standing(Enum):
    """What a presented token makes of its bearer."""

    INVITED = "invited"
    JOINING = "joining"
    REGISTERED = "registered"


@dataclass(frozen=True, slots=True)
class Peer:
    """The other platform as the handshake showed it. `endpoints` are by module and interface."""

    versions_url: str
    outbound_token: str
    endpoints: dict[tuple[str, Interface], str]
    credentials_url: str
    roles: list[Any] = field(default_factory=list)

    def endpoint(self, module: str, interface: Interface) -> str:
        """Find where a module's interface is.

        Raises:
            LookupError: the peer does not offer it.
        """
        if module == "versions":
            return self.versions_url
        if module == "credentials":
            return self.credentials_url
        url = self.endpoints.get((module, interface))
        if url is None:
            raise LookupError(f"the peer offers no {module} {interface}")
        return url


@dataclass(slots=True)
class Connection:
    """Tokens and peer, from invitation to unregistering."""

    grace_s: float = 0
    invitation: str | None = None
    inbound: str | None = None
    joining: str | None = None
    """The inbound token of a handshake that we started and that is not answered yet."""
    retiring: dict[str, float] = field(default_factory=dict)
    peer: Peer | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever something changed that must outlive the process."""

    def standing(self, authorization: str | None) -> tuple[Standing, str] | None:
        """Tell who shows this Authorization value, and by which token; None is a stranger."""
        for token in presented_tokens(authorization or ""):
            if token == self.inbound or self.retiring.get(token, 0) > time.monotonic():
                return Standing.REGISTERED, token
            if token == self.joining:
                return Standing.JOINING, token
            if token == self.invitation:
                return Standing.INVITED, token
        return None

    def invite(self) -> str:
        """Make the one-time token with which a stranger may register; an earlier one is void."""
        self.invitation = new_token()
        self.changed.set()
        return self.invitation

    def begin(self) -> str:
        """Start a handshake: make the inbound token that we are about to send."""
        self.joining = new_token()
        return self.joining

    def abandon(self) -> None:
        """Give a handshake up; what held before still holds."""
        self.joining = None

    def establish(self, peer: Peer, inbound: str) -> None:
        """Take over the outcome of a handshake. The invitation is used up."""
        if self.inbound is not None and self.grace_s > 0:
            self.retiring[self.inbound] = time.monotonic() + self.grace_s
        self.peer, self.inbound = peer, inbound
        self.joining = self.invitation = None
        self.changed.set()

    def end(self) -> None:
        """Forget the peer; all tokens are void."""
        self.peer = self.inbound = self.joining = None
        self.retiring.clear()
        self.changed.set()

    def shown(self) -> dict[str, Any]:
        """Give the connection as JSON values, tokens shortened."""
        peer = self.peer
        return {
            "registered": peer is not None,
            "invitation": shortened(self.invitation),
            "inbound_token": shortened(self.inbound),
            "outbound_token": shortened(peer.outbound_token) if peer else None,
            "peer": peer and {"versions_url": peer.versions_url, "roles": peer.roles},
            "endpoints": [
                {"module": module, "interface": interface.value, "url": url}
                for (module, interface), url in sorted(peer.endpoints.items() if peer else ())
            ],
        }
