"""One request, or one command, on order of the control API.

A body in an order is sent as exactly the bytes it had there. What the platform pushes of its own objects with success
becomes their state, so its Sender interfaces show it too.
"""

import asyncio
import base64
from typing import Any, Literal
from urllib.parse import unquote, urlencode
from uuid import uuid4

import msgspec

from infra.dev.partner.calling import Errand, addressed, compose, perform
from infra.dev.partner.client import Answer, Outgoing, sha256
from infra.dev.partner.commands import expected_result
from infra.dev.partner.load import identify
from infra.dev.partner.platform import Platform
from infra.dev.partner.store import Name, UnknownObjectError
from infra.dev.partner.wire import decode, encode
from infra.dev.partner.words import Interface, Party, endpoint_path


class SendOrder(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One request to make. `url` replaces module, interface and path as the address."""

    method: str
    module: str
    interface: Literal["sender", "receiver"] = "receiver"
    path: str = ""
    query: str | dict[str, str] | None = None
    from_party: str | None = msgspec.field(default=None, name="from")
    to_party: str | None = msgspec.field(default=None, name="to")
    body: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    raw: str | None = None
    raw_base64: str | None = None
    headers: dict[str, str | None] = {}
    authorization: str | msgspec.UnsetType | None = msgspec.UNSET
    url: str | None = None
    apply: Literal["accepted", "always", "never"] = "accepted"

    def content(self) -> bytes | None:
        """Give the bytes to send, None where there is no body."""
        if self.raw_base64 is not None:
            return base64.b64decode(self.raw_base64)
        if self.raw is not None:
            return self.raw.encode()
        given = bytes(self.body)
        return None if given in (b"", b"null") else given


class CommandOrder(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A command to give; its `response_url` is made here. `wait_s` waits that long for the result."""

    command: str
    body: dict[str, Any] = {}
    to_party: str | None = msgspec.field(default=None, name="to")
    from_party: str | None = msgspec.field(default=None, name="from")
    wait_s: float = 0


async def send(platform: Platform, order: SendOrder) -> dict[str, Any]:
    """Make one request and say what came back.

    Raises:
        LookupError: not registered, or the peer does not offer the module.
        ValueError: the order makes no sense.
    """
    query = urlencode(order.query) if isinstance(order.query, dict) else order.query or ""
    errand = Errand(
        order.method.upper(),
        order.module,
        Interface(order.interface.upper()),
        order.path,
        query,
        party(order.from_party),
        party(order.to_party),
        order.content(),
    )
    composed = addressed(platform, errand, order.url) if order.url else compose(platform, errand)
    outgoing = Outgoing(composed.method, composed.url, _overridden(composed, order), composed.body)
    if order.apply == "always":
        _apply(platform, errand)
    answer = await perform(platform, outgoing, order.module)
    if order.apply == "accepted" and answer.succeeded:
        _apply(platform, errand)
    return told(outgoing, answer) | {"headers": dict(answer.headers), "body": answer.json()}


async def command(platform: Platform, order: CommandOrder) -> dict[str, Any]:
    """Give a command and, where asked to, wait for its result.

    Raises:
        LookupError: not registered, or the peer offers no commands.
    """
    result_id = uuid4().hex
    response_url = f"{platform.base_url}{endpoint_path('commands', Interface.SENDER)}/{order.command}/{result_id}"
    waiting = expected_result(platform, result_id)
    body = encode({"response_url": response_url, **order.body})
    sent = SendOrder(method="POST", module="commands", path=order.command, body=msgspec.Raw(body))
    sent.to_party, sent.from_party = order.to_party, order.from_party
    told = await send(platform, sent)
    result = await result_of(waiting, order.wait_s)
    return told | {"result_id": result_id, "response_url": response_url, "result": result}


async def result_of(waiting: asyncio.Future[Any], wait_s: float) -> Any:
    """Wait for a result; None where it has not come in that time."""
    done, _ = await asyncio.wait([waiting], timeout=wait_s)
    return waiting.result() if done and not waiting.cancelled() else None


def party(text: str | None) -> Party | None:
    """Read a party of an order."""
    return None if text is None else Party.parse(text)


def told(outgoing: Outgoing, answer: Answer) -> dict[str, Any]:
    """Give what every action tells of one request and its answer."""
    return {
        "status": answer.http_status,
        "status_code": answer.status_code,
        "accepted": answer.succeeded,
        "error": answer.error,
        "at": answer.sent_at,
        "ms": answer.ms,
        "url": outgoing.url,
        "request_id": outgoing.request_id,
        "correlation_id": outgoing.headers.get("X-Correlation-ID"),
        "sent_sha256": None if outgoing.body is None else sha256(outgoing.body),
        "raw_sha256": sha256(answer.body),
    }


def _overridden(composed: Outgoing, order: SendOrder) -> dict[str, str]:
    headers = dict(composed.headers)
    overrides = dict(order.headers)
    if order.authorization is not msgspec.UNSET:
        overrides["Authorization"] = order.authorization
    for name, value in overrides.items():
        for present in [known for known in headers if known.lower() == name.lower()]:
            del headers[present]
        if value is not None:
            headers[name] = value
    return headers


def _apply(platform: Platform, errand: Errand) -> None:
    """Let the own objects follow what was pushed of them."""
    parts = tuple(unquote(part) for part in errand.path.strip("/").split("/") if part)
    try:
        if errand.module == "cdrs" and errand.method == "POST" and errand.body:
            platform.own.put(*identify(errand.body), errand.body)
        elif errand.interface is Interface.RECEIVER and len(parts) >= 3 and platform.hosted(Party(*parts[:2])):
            _apply_push(platform, errand, _own_name(errand, parts))
    except (UnknownObjectError, ValueError, TypeError, AttributeError):
        return


def _own_name(errand: Errand, parts: tuple[str, ...]) -> Name:
    if errand.module != "tokens":
        return Name("", parts[:3], parts[3:])
    kind = dict(pair.partition("=")[::2] for pair in errand.query.split("&")).get("type", "RFID")
    return Name("", (*parts[:3], kind))


def _apply_push(platform: Platform, errand: Errand, name: Name) -> None:
    match errand.method:
        case "PUT" if errand.body and isinstance(decode(errand.body), dict):
            platform.own.put(errand.module, name, errand.body)
        case "PATCH" if errand.body:
            platform.own.patch(errand.module, name, decode(errand.body))
        case "DELETE":
            platform.own.delete(errand.module, name)
