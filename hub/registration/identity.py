"""How the hub presents itself to platforms, and how it knows itself again.

A platform that gives one of the hub's own URLs as its own would be registered with the hub in its place: what is sent to it would
come back in at the front door. So such a URL is refused before anything is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import CONNECT_BACK_FAILED, Refusal

_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Identity:
    """The hub as platforms see it; `public_url` is where all its URLs begin, without a slash at its end."""

    party: PartyId
    name: str
    public_url: str

    @property
    def versions_url(self) -> str:
        """What platforms are given."""
        return f"{self.public_url}/ocpi/versions"

    def credentials(self, token: str) -> dict[str, Any]:
        """The hub's Credentials object in 2.2.1: itself only, in role HUB (CR-22)."""
        role = {
            "role": Role.HUB.value,
            "business_details": {"name": self.name},
            "party_id": self.party.party_id,
            "country_code": self.party.country_code,
        }
        return {"token": token, "url": self.versions_url, "roles": [role]}

    def is_own(self, url: str) -> bool:
        """Whether a URL leads to the hub, in either scheme at its usual port and in any spelling of the host."""
        try:
            given, own = urlsplit(url.strip()), urlsplit(self.public_url)
            is_same_host = _host(given) == _host(own) and _door(given.scheme, given.port) == _door(own.scheme, own.port)
        except ValueError:
            return False
        path = own.path.rstrip("/")
        return is_same_host and (given.path == path or given.path.startswith(f"{path}/") or not path)

    def refuse_own(self, versions_url: str, endpoints: Mapping[tuple[str, Interface], str]) -> Refusal | None:
        """3001 where a platform's versions URL, or an endpoint in its details, is one of the hub's."""
        if self.is_own(versions_url):
            return _own("the versions URL")
        for (module, interface), url in endpoints.items():
            if self.is_own(url):
                return _own(f"the URL of endpoint {module} {interface}")
        return None


def _host(parts: SplitResult) -> str:
    """The host's name; a dot at its end says only that it is a whole one."""
    return (parts.hostname or "").removesuffix(".")


def _door(scheme: str, port: int | None) -> int:
    """The port, the two usual ones being one: what differs between them is only whether TLS was thought of."""
    number = port or _PORTS.get(scheme.lower(), 0)
    return _PORTS["https"] if number == _PORTS["http"] else number


def _own(what: str) -> Refusal:
    return Refusal(CONNECT_BACK_FAILED, f"{what} is one of this hub's own: give that of your platform")
