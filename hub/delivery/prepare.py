"""Makes the HTTP request of one leg: the receiver's URL, fresh ids, our token, the sender's bytes.

Rules RT-07, RT-12, RT-15, RT-23, BP-05, BP-13, OR-03, ID-03, ID-04, AU-12, FM-02.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hub.model import trace
from hub.model.directory import OutboundToken
from hub.ocpi.headers import CORRELATION_ID, REQUEST_ID, authorization, routing_headers
from hub.ocpi.parties import PartyId

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to a partner, ready to send. `headers` hold the partner's token: never log them."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def prepare(
    *,
    method: str,
    url: str,
    body: bytes,
    content_type: str,
    token: OutboundToken,
    to_party: PartyId,
    from_party: PartyId,
    request_id: str,
    correlation_id: str,
    traceparent: str = "",
) -> Attempt:
    """The request of one leg. `url` is complete; `request_id` is new for this leg, `correlation_id` the sender's.

    A `traceparent` is shown to the partner.
    """
    headers = {
        "Authorization": authorization(token.value, token.encoding),
        REQUEST_ID: request_id,
        CORRELATION_ID: correlation_id,
        "Accept": JSON_TYPE,
        **routing_headers(to_party, from_party),
    }
    if traceparent:
        headers[trace.HEADER] = traceparent
    if body:
        headers["Content-Type"] = content_type or JSON_TYPE
    return Attempt(method, url, headers, body)


def prepare_own(
    *, method: str, url: str, body: bytes, token: OutboundToken, request_id: str, correlation_id: str
) -> Attempt:
    """A request of the hub itself in a configuration module: ids of its own, no routing headers (HC-01, ID-06)."""
    headers = {
        "Authorization": authorization(token.value, token.encoding),
        REQUEST_ID: request_id,
        CORRELATION_ID: correlation_id,
        "Accept": JSON_TYPE,
    }
    if body:
        headers["Content-Type"] = JSON_TYPE
    return Attempt(method, url, headers, body)
