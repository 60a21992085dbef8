"""Makes the calls of a handshake with the partner client, one after the other, within one time for all."""

import time
from collections.abc import Generator
from typing import Final, TypeVar
from uuid import uuid4

import msgspec

from hub.errors import AddressRefused, PartnerError, PartnerUnreachable
from hub.ocpi.headers import CORRELATION_ID, REQUEST_ID, authorization
from hub.partners.client import PartnerClient
from hub.registration.calls import Call, Received
from hub.telemetry import get_logger

log = get_logger(__name__)

CALL_SECONDS: Final = 10.0
HANDSHAKE_SECONDS: Final = 25.0
"""All calls of a handshake together: a client that waits for the answer to its POST gives up soon after."""

T = TypeVar("T")


async def drive(partners: PartnerClient, flow: Generator[Call, Received, T], seconds: float = HANDSHAKE_SECONDS) -> T:
    """Make the calls that `flow` wants and return what it returns; no call begins after `seconds`."""
    deadline = time.monotonic() + seconds
    try:
        call = next(flow)
        while True:
            call = flow.send(await make_call(partners, call, deadline - time.monotonic()))
    except StopIteration as done:
        result: T = done.value
        return result


async def make_call(partners: PartnerClient, call: Call, seconds: float = CALL_SECONDS) -> Received:
    """Make one call, with new message ids; an answer that did not come is returned, not raised."""
    if seconds <= 0:
        return PartnerUnreachable("the handshake took too long")
    headers = {
        "Authorization": authorization(call.token.value, call.token.encoding),
        REQUEST_ID: str(uuid4()),
        CORRELATION_ID: str(uuid4()),
        "Accept": "application/json",
    }
    body = None
    if call.body is not None:
        headers["Content-Type"] = "application/json"
        body = msgspec.json.encode(call.body)
    try:
        return await partners.send(call.method, call.url, headers, body, min(seconds, CALL_SECONDS))
    except AddressRefused as refused:
        log.warning("handshake.address_refused", reason=str(refused))
        return refused
    except PartnerError as error:
        return error
