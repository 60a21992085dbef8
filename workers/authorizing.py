"""Authorizations in the relay: the owner of a token is asked, or all that may know it, or the hub answers from what it holds.

Every call goes through `Calling`, with all that it keeps: nothing leaves after `start_by`, and entitlement is read right before
each attempt. The calls to several eMSPs begin after the one commit of their request; those that the answer did not wait for go on
to their end, so that the ledger and the evidence of who is there have them. What the hub says in place of an owner is never kept,
it is found anew each time.

Source: rule AM-17; decisions D-05, D-06.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from hub.errors import StoreUnavailable
from hub.model.envelope import Envelope
from hub.model.outcome import Verdict
from hub.model.unit import root_key
from hub.ocpi.parties import PartyId
from hub.ocpi.status import INTERNAL, RECEIVER_NOT_CONNECTED, SUCCESS, Refusal, body
from hub.routing.authorize import (
    ALWAYS,
    OFFLINE,
    Owned,
    Poll,
    Tally,
    allowed_info,
    heard,
    may_speak_for,
    permits,
    says_away,
)
from hub.routing.open_keys import can_be_kept, token_key
from hub.routing.plan import Parsed, Plan
from hub.store import units
from hub.telemetry import get_logger
from workers.app import WorkerContext
from workers.calling import Answer, Calling, outcome_of
from workers.planning import STORE_SECONDS, Made

log = get_logger(__name__)

_WAY_BACK_SECONDS: Final = 0.5
"""How long before the deadline the answer is made, so that it reaches the caller in time; never more than a quarter of it all."""


Spawn = Callable[[Coroutine[Any, Any, Answer]], "asyncio.Task[Answer]"]


class Authorizing:
    """Answers authorizations; `spawn` begins a task that the worker finishes before it ends."""

    def __init__(self, context: WorkerContext, calling: Calling, spawn: Spawn) -> None:
        self._context = context
        self._calling = calling
        self._spawn = spawn

    async def answer(self, parsed: Parsed, planned: Made) -> Answer:
        """What the caller gets, whatever happens."""
        try:
            return await self._answer(parsed, planned)
        except Exception:
            log.exception("authorization.failed", correlation_id=parsed.envelope.correlation_id)
            return self._calling.refuse(parsed.envelope, Refusal(INTERNAL, INTERNAL.message))

    async def _answer(self, parsed: Parsed, planned: Made) -> Answer:
        if isinstance(planned, Poll):
            return await self._ask_all(parsed, planned)
        if isinstance(planned, Owned):
            if (
                planned.token is not None
                and permits(planned.token, ALWAYS)
                and self._may_speak_for(parsed, planned.owner)
            ):
                return self._allow(parsed, planned.owner, planned.token, "from the store: whitelist ALWAYS")
            return await self._ask_owner(parsed, planned.owner, planned.made)
        owner = parsed.envelope.to_party
        if owner is None:
            return await self._calling.answer(parsed, planned)
        return await self._ask_owner(parsed, owner, planned)

    async def _ask_all(self, parsed: Parsed, planned: Poll) -> Answer:
        """Ask everybody at once: the first ALLOWED is the answer, else the best that has come when all have or time is up."""
        loop = asyncio.get_running_loop()
        last_moment = loop.time() + _patience(parsed.envelope)
        waiting = {self._spawn(self._calling.answer(parsed, made)) for made in planned.plans}
        tally: Tally[Answer] = Tally(len(waiting))
        while not tally.is_settled:
            done, waiting = await asyncio.wait(
                waiting, timeout=max(0.0, last_moment - loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for call in done:
                answer = call.result()
                tally = tally.hear(heard(answer.http_status, answer.body), answer)
        result = tally.result()
        return self._calling.refuse(parsed.envelope, result) if isinstance(result, Refusal) else result

    async def _ask_owner(self, parsed: Parsed, owner: PartyId, made: Plan | Refusal) -> Answer:
        """The owner's answer; with the fallback *offline* the hub's where the owner is away or silent (D-05)."""
        if self._context.settings.authorize_fallback == "deny":
            return await self._calling.answer(parsed, made)
        if isinstance(made, Refusal):
            is_away = made.status is RECEIVER_NOT_CONNECTED
            allowed = await self._allow_offline(parsed, owner) if is_away else None
            return allowed or await self._calling.answer(parsed, made)
        call = self._spawn(self._calling.answer(parsed, made))
        await asyncio.wait({call}, timeout=_patience(parsed.envelope))
        if call.done() and not self._is_away(call.result()):
            return call.result()
        return await self._allow_offline(parsed, owner) or await call

    def _is_away(self, answer: Answer) -> bool:
        return answer.answered_by == self._context.keeper.current.hub_party and says_away(answer.body)

    async def _allow_offline(self, parsed: Parsed, owner: PartyId) -> Answer | None:
        token = await self._read_token(parsed, owner)
        if token is None or not permits(token, OFFLINE) or not self._may_speak_for(parsed, owner):
            return None
        return self._allow(
            parsed, owner, token, "from the store: the owner is away or silent, authorize_fallback is offline"
        )

    async def _read_token(self, parsed: Parsed, owner: PartyId) -> bytes | None:
        key = token_key(parsed.match.parameters["token_uid"], parsed.query)
        if not can_be_kept(key):
            return None
        try:
            async with asyncio.timeout(STORE_SECONDS), self._context.store.connection() as connection:
                found = await units.read_root(connection, root_key("tokens", owner, key))
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("token.not_read", correlation_id=parsed.envelope.correlation_id, error=repr(error))
            return None
        return found[0].raw if found else None

    def _may_speak_for(self, parsed: Parsed, owner: PartyId) -> bool:
        keeper = self._context.keeper
        return keeper.may_send and may_speak_for(keeper.current, parsed.envelope, owner)

    def _allow(self, parsed: Parsed, owner: PartyId, token: bytes, why: str) -> Answer:
        envelope = parsed.envelope
        self._context.outcomes.note(
            outcome_of(
                envelope,
                "authorization.answered",
                Verdict.ANSWERED,
                to_party=str(owner),
                http_status=SUCCESS.http,
                ocpi_status=SUCCESS.ocpi,
                detail=why,
            )
        )
        content = body(SUCCESS, datetime.now(UTC), data=allowed_info(token, envelope.body))
        hub = self._context.keeper.current.hub_party
        return Answer(SUCCESS.http, {"content-type": "application/json"}, content, hub)


def _patience(envelope: Envelope) -> float:
    """How many seconds from now an answer may be waited for and still reach the caller."""
    way_back = min(_WAY_BACK_SECONDS, (envelope.deadline - envelope.received_at) / 4000)
    return max(0.0, envelope.deadline / 1000 - time.time() - way_back)
