"""Calls to the peer: composed for one of its endpoints, performed once, their answers checked."""

from dataclasses import dataclass
from urllib.parse import quote

from infra.dev.partner.client import Answer, Outgoing, request_headers
from infra.dev.partner.platform import Platform
from infra.dev.partner.rules import answer_deviations
from infra.dev.partner.store import Name
from infra.dev.partner.words import FUNCTIONAL, Interface, Party


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be asked of the peer. `path` and `query` are sent as they stand."""

    method: str
    module: str
    interface: Interface
    path: str = ""
    query: str = ""
    from_party: Party | None = None
    to_party: Party | None = None
    body: bytes | None = None


def compose(platform: Platform, errand: Errand) -> Outgoing:
    """Make the request, as OCPI has it: configuration modules go without routing headers.

    Raises:
        LookupError: not registered, or the peer does not offer the module.
    """
    peer = platform.connection.peer
    if peer is None:
        raise LookupError("not registered at a hub")
    base = peer.endpoint(errand.module, errand.interface)
    return addressed(platform, errand, joined(base, errand.path, errand.query))


def addressed(platform: Platform, errand: Errand, url: str) -> Outgoing:
    """Make the request for a URL that the peer gave, such as a `response_url` or a CDR's Location."""
    peer = platform.connection.peer
    token = peer.outbound_token if peer else None
    if errand.module in FUNCTIONAL:
        headers = request_headers(token, errand.from_party or platform.parties[0], errand.to_party)
    else:
        headers = request_headers(token, None, None)
    if errand.body is not None:
        headers["Content-Type"] = "application/json"
    return Outgoing(errand.method, url, headers, errand.body)


async def perform(platform: Platform, outgoing: Outgoing, module: str) -> Answer:
    """Make a request once, and note how its answer deviates."""
    answer = await platform.client.send(outgoing)
    if platform.options.record == "full":
        for deviation in answer_deviations(platform, outgoing, module, answer):
            platform.deviations.add(deviation)
    return answer


def joined(base: str, path: str, query: str) -> str:
    """Put a path under an endpoint with exactly one slash, whatever slashes either has, and keep the endpoint's own query."""
    base, _, own_query = base.partition("?")
    url = f"{base.rstrip('/')}/{path.lstrip('/')}" if path else base
    queries = "&".join(part for part in (own_query, query.lstrip("?")) if part)
    return f"{url}?{queries}" if queries else url


def object_path(name: Name) -> tuple[str, str]:
    """Give the path and query under which an object stands on a Receiver interface."""
    path = "/".join(quote(part, safe="") for part in (*name.parts[:3], *name.below))
    return path, f"type={quote(name.parts[3], safe='')}" if len(name.parts) > 3 else ""
