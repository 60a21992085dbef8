"""The one door of all functional modules.

A request to one party goes onto the log and its caller waits for the receiver's own answer; a broadcast is answered when the
log holds it on all in-sync replicas; lists for all are answered from the store. Nothing here calls a partner.
"""

import contextlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.api.answers import Answered, MessageIds, answer, from_hub, refuse
from hub.api.auth import Caller, Gate
from hub.api.body import ClientGone, read_whole
from hub.errors import LogUnavailable
from hub.messaging.codec import encode, push_key
from hub.messaging.outcomes import Outcomes
from hub.messaging.producer import Producer
from hub.messaging.rpc import Rpc, TooManyWaiting
from hub.messaging.topics import PUSHES, Topics
from hub.model import trace
from hub.model.directory import Directory, Quirk
from hub.model.envelope import Envelope, Reply, Scenario
from hub.model.outcome import Leg, Outcome, Verdict, object_name
from hub.ocpi.headers import Routing, read_routing, routing_headers, text_headers
from hub.ocpi.modules import MODULES, Match, Operation, TrafficClass
from hub.ocpi.parties import PartyId
from hub.ocpi.status import (
    BY_HTTP_TOO,
    INTERNAL,
    LOG_UNAVAILABLE,
    RECEIVER_SILENT,
    STORE_UNAVAILABLE,
    SUCCESS,
    TOO_MANY_WAITING,
    Refusal,
    Status,
)
from hub.routing.admit import url_owner
from hub.routing.incoming import BODY_METHODS, Incoming, examine, find_operation, read_body
from hub.routing.open_keys import token_key
from hub.settings import Settings
from hub.store.directory import DirectoryKeeper
from hub.telemetry import DEVIATIONS, REQUEST_SECONDS, REQUESTS_RECEIVED, REQUESTS_REFUSED, get_logger

log = get_logger(__name__)

_RETRY_AFTER_SECONDS: Final = 2
OLDEST_DIRECTORY_SECONDS: Final = 600.0
"""How old a directory may be that could not be renewed, before pushes for all are refused as well.

A push must not be lost over a database that is away. What acts at once, a request to one party, is refused when the lease of the
directory has run out: its sender may have been suspended, or its token revoked, without this process having heard.
"""
_PATH: Final = re.compile(r"/+ocpi/+([^/]+)/+(sender|receiver)/+([^/]+)(?:/(.*))?$", re.DOTALL)
"""The prefix may be written with doubled slashes; the tail is kept as it is (D-22)."""
_OBJECT_PARAMETERS: Final = frozenset({"country_code", "party_id"})

_received: Final = cache(REQUESTS_RECEIVED.labels)
_seconds: Final = cache(REQUEST_SECONDS.labels)

LocalAnswer = Callable[["Request", Incoming], Awaitable[Response]]


class Request(msgspec.Struct, frozen=True):
    """One HTTP request as it was received. `tail` and `raw_query` are the bytes of the URL as text."""

    caller: Caller
    ids: MessageIds
    method: str
    version: str
    module: str
    interface: str
    tail: str
    raw_query: str
    headers: Mapping[str, str]
    received_at: float
    directory: Directory
    traceparent: str
    body: bytes = b""


class Ingress:
    """The ASGI application behind `/ocpi/{version}/{sender|receiver}/{module}/…`."""

    def __init__(
        self,
        *,
        settings: Settings,
        gate: Gate,
        keeper: DirectoryKeeper,
        topics: Topics,
        durable: Producer,
        rpc: Rpc,
        outcomes: Outcomes,
        local: Mapping[Scenario, LocalAnswer],
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._keeper = keeper
        self._topics = topics
        self._durable = durable
        self._rpc = rpc
        self._outcomes = outcomes
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong, the client gets an OCPI body."""
        received_at = time.time()
        headers = text_headers(scope["headers"])
        ids = MessageIds.of(headers)
        try:
            response = await self._respond(scope, receive, headers, ids, received_at)
        except ClientGone:
            return
        except Exception:
            log.exception("request.failed", correlation_id=ids.correlation_id)
            response = answer(INTERNAL, ids)
        await response(scope, receive, send)

    async def _respond(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str], ids: MessageIds, received_at: float
    ) -> Response:
        if self._keeper.age_seconds > OLDEST_DIRECTORY_SECONDS:
            return self._refused(_unavailable(STORE_UNAVAILABLE), ids, None)
        caller = await self._gate.admit_registered(headers)
        if isinstance(caller, Refusal):
            return self._refused(caller, ids, None)
        request = _request(scope, caller, ids, headers, received_at, self._keeper.current)
        found = find_operation(request.version, request.module, request.interface, request.tail, request.method)
        if isinstance(found, Refusal):
            return self._refused(found, ids, request)
        if request.method in BODY_METHODS:
            body = await read_whole(receive, headers, self._settings.largest_body_bytes)
            if isinstance(body, Refusal):
                return self._refused(body, ids, request, {"Connection": "close"})
            request = msgspec.structs.replace(request, body=body)
        incoming = _examine(request, found, only_own_tokens=self._settings.command_tokens == "own")
        if isinstance(incoming, Refusal):
            return self._refused(incoming, ids, request)
        _received(request.module, incoming.scenario.value).inc()
        if incoming.deviations:
            DEVIATIONS.labels(request.module).inc(incoming.deviations)
        response = await self._carry_out(request, incoming)
        _seconds(incoming.scenario.value).observe(time.time() - received_at)
        return response

    async def _carry_out(self, request: Request, incoming: Incoming) -> Response:
        local = self._local.get(incoming.scenario)
        if local is not None:
            return await local(request, incoming)
        if incoming.scenario is Scenario.BROADCAST:
            return await self._broadcast(request, incoming)
        return await self._ask(request, incoming)

    async def _broadcast(self, request: Request, incoming: Incoming) -> Response:
        envelope = self._envelope(request, incoming)
        owner = url_owner(incoming.match) or incoming.from_party
        key = push_key(request.module, owner, _object_id(incoming.match, incoming.query))
        try:
            await self._durable.send(
                self._topics.name(PUSHES),
                value=envelope.body,
                key=key,
                headers=encode(envelope),
                timeout=self._settings.push_seconds,
            )
        except LogUnavailable as error:
            log.warning("push.not_accepted", error=str(error), correlation_id=request.ids.correlation_id)
            away = Refusal(
                LOG_UNAVAILABLE,
                "The hub cannot take messages at the moment; send this one again",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
            return self._refused(away, request.ids, request, party=incoming.from_party)
        self._note(request, incoming, "push.accepted", Verdict.ACCEPTED, SUCCESS.http, SUCCESS.ocpi)
        return answer(SUCCESS, request.ids, headers=from_hub(request.directory.hub_party, incoming.from_party))

    async def _ask(self, request: Request, incoming: Incoming) -> Response:
        if not self._keeper.may_send:
            return self._refused(_unavailable(STORE_UNAVAILABLE), request.ids, request, party=incoming.from_party)
        bulk = incoming.operation.traffic is TrafficClass.LIST
        envelope = self._envelope(request, incoming, waits=True, bulk=bulk)
        try:
            reply = await self._rpc.call(envelope, key=_request_key(envelope), bulk=bulk)
        except TooManyWaiting:
            return self._refused(_unavailable(TOO_MANY_WAITING), request.ids, request, party=incoming.from_party)
        except LogUnavailable:
            return self._refused(_unavailable(LOG_UNAVAILABLE), request.ids, request, party=incoming.from_party)
        if reply is None:
            silent = Refusal(_status_by_http_too(request, RECEIVER_SILENT), RECEIVER_SILENT.message)
            return self._refused(silent, request.ids, request, party=incoming.from_party, verdict=Verdict.SILENT)
        response = _by_http_too(request, _relayed(reply, request.ids, incoming.from_party))
        self._note(request, incoming, "request.answered", Verdict.ANSWERED, response.status_code, None)
        return response

    def _envelope(self, request: Request, incoming: Incoming, *, waits: bool = False, bulk: bool = False) -> Envelope:
        now_ms = int(request.received_at * 1000)
        deadline = self._settings.deadline_seconds(incoming.operation.traffic)
        return Envelope(
            version=request.version,
            module=request.module,
            interface=incoming.match.resource.interface,
            method=request.method,
            tail=request.tail,
            query=request.raw_query,
            scenario=incoming.scenario,
            platform_id=request.caller.platform.platform_id,
            from_party=incoming.from_party,
            to_party=incoming.to_party,
            request_id=request.ids.request_id,
            correlation_id=request.ids.correlation_id,
            content_type=request.headers.get("content-type", ""),
            received_at=now_ms,
            body=request.body,
            nonce=secrets.token_hex(16) if waits else "",
            reply_partition=self._rpc.reply_partition(bulk=bulk) if waits else -1,
            start_by=now_ms + int(self._settings.start_by_seconds * 1000) if waits else 0,
            deadline=now_ms + int(deadline * 1000) if waits else 0,
            traceparent=request.traceparent,
        )

    def _refused(
        self,
        refusal: Refusal,
        ids: MessageIds,
        request: Request | None,
        headers: Mapping[str, str] | None = None,
        *,
        party: PartyId | None = None,
        verdict: Verdict = Verdict.REFUSED,
    ) -> Response:
        REQUESTS_REFUSED.labels(str(refusal.status.ocpi)).inc()
        hub = self._keeper.current.hub_party
        requester = party or (_plausible_party(request) if request else None)
        if request is not None:
            self._note_refusal(request, refusal, requester, verdict)
        return refuse(refusal, ids, headers={**from_hub(hub, requester), **(headers or {})})

    def _note_refusal(self, request: Request, refusal: Refusal, requester: PartyId | None, verdict: Verdict) -> None:
        routing = _routing(request)
        named = None if isinstance(routing, Refusal) else routing.to_party
        self._tell(
            request,
            "request.refused",
            verdict,
            from_party=str(requester) if requester else None,
            to_party=str(named) if named else None,
            module=request.module if request.module in MODULES else None,
            http_status=refusal.status.http,
            ocpi_status=refusal.status.ocpi,
            detail=refusal.message,
        )

    def _note(
        self, request: Request, incoming: Incoming, kind: str, verdict: Verdict, http: int, ocpi: int | None
    ) -> None:
        self._tell(
            request,
            kind,
            verdict,
            from_party=str(incoming.from_party),
            to_party=str(incoming.to_party) if incoming.to_party else None,
            module=request.module,
            object=_object_name(incoming.match),
            http_status=http,
            ocpi_status=ocpi,
            detail=incoming.scenario.value,
        )

    def _tell(self, request: Request, kind: str, verdict: Verdict, **facts: Any) -> None:
        now = time.time()
        self._outcomes.note(
            Outcome(
                at=int(now * 1000),
                outcome_id=secrets.token_hex(16),
                correlation_id=request.ids.correlation_id,
                request_id=request.ids.request_id,
                leg=Leg.INGRESS,
                kind=kind,
                verdict=verdict,
                platform_id=request.caller.platform.platform_id,
                ocpi_version=request.version,
                interface=request.interface.upper(),
                method=request.method,
                elapsed_ms=(now - request.received_at) * 1000,
                trace_id=trace.trace_id(request.traceparent),
                **facts,
            )
        )


def _request(
    scope: Scope,
    caller: Caller,
    ids: MessageIds,
    headers: Mapping[str, str],
    received_at: float,
    directory: Directory,
) -> Request:
    path = _PATH.match(scope["raw_path"].decode("latin-1"))
    version, interface, module, tail = path.groups() if path else ("", "", "", "")
    return Request(
        caller=caller,
        ids=ids,
        method=scope["method"],
        version=version,
        module=module,
        interface=interface,
        tail=tail or "",
        raw_query=scope["query_string"].decode("latin-1"),
        headers=headers,
        received_at=received_at,
        directory=directory,
        traceparent=trace.read(headers.get(trace.HEADER, "")) or trace.begin(secrets.token_hex(24)),
    )


def _routing(request: Request) -> Routing | Refusal:
    """The routing headers, read as the platform wants half a pair to be read (D-15)."""
    return read_routing(request.headers, half_is_none=Quirk.HALF_HEADERS in request.caller.platform.quirks)


def _examine(request: Request, found: tuple[Match, Operation], *, only_own_tokens: bool) -> Incoming | Refusal:
    routing = _routing(request)
    if isinstance(routing, Refusal):
        return routing
    value: Any = read_body(found[1], request.body)
    if isinstance(value, Refusal):
        return value
    query = dict(parse_qsl(request.raw_query, keep_blank_values=True)) if request.raw_query else {}
    platform = request.caller.platform
    return examine(request.directory, platform, found, routing, query, value, only_own_tokens=only_own_tokens)


def _relayed(reply: Reply, ids: MessageIds, requester: PartyId) -> Response:
    headers = dict(reply.headers)
    answered_by = PartyId.parse(headers.pop("from"))
    headers |= {**ids.headers(), **routing_headers(requester, answered_by)}
    return Answered(reply.http_status, headers, reply.body)


class _Code(msgspec.Struct):
    status_code: int = 0


def _status_by_http_too(request: Request, status: Status) -> Status:
    """A status of the hub's own for a peer that looks at HTTP statuses only: 4002 and 4003 with a 504 and 503 (D-02)."""
    if Quirk.HTTP_STATUS in request.caller.platform.quirks:
        return replace(status, http=BY_HTTP_TOO.get(status.ocpi, status.http))
    return status


def _by_http_too(request: Request, response: Response) -> Response:
    """The same for an answer that a relay has given."""
    if Quirk.HTTP_STATUS in request.caller.platform.quirks and response.status_code == SUCCESS.http:
        with contextlib.suppress(msgspec.MsgspecError):
            code = msgspec.json.decode(response.body, type=_Code).status_code
            response.status_code = BY_HTTP_TOO.get(code, response.status_code)
    return response


def _unavailable(status: Any) -> Refusal:
    return Refusal(status, status.message, retry_after_seconds=_RETRY_AFTER_SECONDS)


def _request_key(envelope: Envelope) -> bytes:
    receiver = envelope.to_party or envelope.from_party
    return f"{receiver.folded}:{envelope.module}".encode()


def _object_id(match: Match, query: Mapping[str, str]) -> str:
    parameters = match.parameters
    if "token_uid" in parameters:
        return token_key(parameters["token_uid"], query)
    return parameters.get("location_id") or parameters["tariff_id"]


def _object_name(match: Match) -> str:
    ids = [value for name, value in match.parameters.items() if name not in _OBJECT_PARAMETERS]
    owner = url_owner(match)
    return object_name(match.resource.module, *(owner or ()), *ids)


def _plausible_party(request: Request) -> PartyId | None:
    routing = _routing(request)
    party = None if isinstance(routing, Refusal) else routing.from_party
    if party is not None and request.directory.owns(request.caller.platform.platform_id, party):
        return party
    return None
