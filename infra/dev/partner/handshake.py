"""Registering, in both directions: as the one who asks (Sender) and as the one who is asked (Receiver).

The state changes only when a handshake has succeeded. While a handshake of ours is open, the new inbound token
already works, since the other side calls back within it.

Source: OCPI 2.2.1, credentials, registration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.dev.partner.calling import perform
from infra.dev.partner.client import Answer, Outgoing, request_headers
from infra.dev.partner.connection import Peer
from infra.dev.partner.platform import Platform
from infra.dev.partner.wire import encode, new_token
from infra.dev.partner.words import VERSION, VERSIONS_PATH, Interface


class HandshakeError(Exception):
    """A handshake came to nothing.

    `status_code` is what a Receiver answers for it; `passing` says that the peer was away, so that trying again makes
    sense.
    """

    def __init__(self, message: str, status_code: int = 3001, *, passing: bool = False) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Details:
    """What a version details endpoint lists."""

    endpoints: dict[tuple[str, Interface], str]
    credentials_url: str


def credentials(platform: Platform, token: str) -> dict[str, Any]:
    """Make this platform's credentials object: one role entry for each party and role."""
    return {
        "token": token,
        "url": platform.base_url + VERSIONS_PATH,
        "roles": [
            {
                "role": role.value,
                "business_details": {"name": f"Partner {party.party_id}", "website": "https://example.com/"},
                "party_id": party.party_id,
                "country_code": party.country_code,
            }
            for party in platform.parties
            for role in sorted(platform.roles)
        ],
    }


async def register(platform: Platform, versions_url: str, token: str) -> None:
    """Register at another platform with its one-time token.

    Raises:
        HandshakeError: it came to nothing; nothing has changed.
    """
    if platform.connection.peer is not None:
        raise HandshakeError("already registered; unregister first")
    await _exchange(platform, "POST", versions_url, token)


async def rotate(platform: Platform) -> None:
    """Renew both tokens, and let both sides read the endpoints again.

    Raises:
        HandshakeError: it came to nothing; the old tokens still hold.
    """
    peer = platform.connection.peer
    if peer is None:
        raise HandshakeError("not registered")
    await _exchange(platform, "PUT", peer.versions_url, peer.outbound_token)


async def unregister(platform: Platform) -> None:
    """End the registration on both sides.

    Raises:
        HandshakeError: the peer did not agree; the registration still holds.
    """
    peer = platform.connection.peer
    if peer is None:
        raise HandshakeError("not registered")
    answer = await _call(platform, "DELETE", peer.credentials_url, peer.outbound_token)
    if not answer.succeeded:
        raise HandshakeError(f"the peer answered {answer.error or answer.http_status}, {answer.status_code}")
    platform.connection.end()


async def accept(platform: Platform, posted: Mapping[str, Any]) -> dict[str, Any]:
    """Take a caller's credentials: read its endpoints with the token it sent, and give it ours with a new token.

    Raises:
        HandshakeError: with the status code to answer; nothing has changed.
    """
    token, url = posted.get("token"), posted.get("url")
    if not isinstance(token, str) or not isinstance(url, str) or not token:
        raise HandshakeError("credentials hold a token and a url", 2001)
    details = await _details(platform, url, token)
    inbound = new_token()
    roles = posted.get("roles")
    peer = Peer(url, token, details.endpoints, details.credentials_url, roles if isinstance(roles, list) else [])
    platform.connection.establish(peer, inbound)
    return credentials(platform, inbound)


async def _exchange(platform: Platform, method: str, versions_url: str, token: str) -> None:
    details = await _details(platform, versions_url, token)
    inbound = platform.connection.begin()
    try:
        answer = await _call(platform, method, details.credentials_url, token, credentials(platform, inbound))
        given = _given(answer, method)
    except BaseException:
        platform.connection.abandon()
        raise
    url = given.get("url")
    peer = Peer(
        url if isinstance(url, str) else versions_url,
        given["token"],
        details.endpoints,
        details.credentials_url,
        given.get("roles") or [],
    )
    platform.connection.establish(peer, inbound)


def _given(answer: Answer, method: str) -> dict[str, Any]:
    given = _data(answer, f"{method} credentials")
    if not isinstance(given, dict) or not isinstance(given.get("token"), str):
        raise HandshakeError(f"{method} credentials was answered without a token")
    return given


async def _details(platform: Platform, versions_url: str, token: str) -> Details:
    listed = _data(await _call(platform, "GET", versions_url, token), "GET versions")
    urls = {entry.get("version"): entry.get("url") for entry in _entries(listed)}
    url = urls.get(VERSION)
    if not isinstance(url, str):
        raise HandshakeError(f"the peer offers {sorted(map(str, urls))}, not {VERSION}", 3002)
    details = _data(await _call(platform, "GET", url, token), "GET version details")
    endpoints: dict[tuple[str, Interface], str] = {}
    credentials_url = None
    for entry in _entries(details.get("endpoints") if isinstance(details, dict) else None):
        identifier, role, place = entry.get("identifier"), entry.get("role"), entry.get("url")
        if not isinstance(place, str):
            continue
        if identifier == "credentials":
            credentials_url = place
        elif isinstance(identifier, str) and role in ("SENDER", "RECEIVER"):
            endpoints[identifier, Interface(role)] = place
    if credentials_url is None:
        raise HandshakeError("the peer lists no credentials endpoint", 3003)
    return Details(endpoints, credentials_url)


def _entries(listed: Any) -> list[dict[str, Any]]:
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _data(answer: Answer, what: str) -> Any:
    try:
        return answer.data()
    except ValueError as error:
        passing = answer.http_status is None or answer.http_status >= 500
        raise HandshakeError(f"{what} failed: {error}", passing=passing) from error


async def _call(platform: Platform, method: str, url: str, token: str, body: Any = None) -> Answer:
    headers = request_headers(token, None, None)
    content = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        content = encode(body)
    return await perform(platform, Outgoing(method, url, headers, content), "credentials")
