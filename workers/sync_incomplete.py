"""Fetches objects of which the hub knows patches only, and puts them onto the log as if their owners had pushed them.

What fails is tried again, later each time and never before the owner's Retry-After. What the owner does not have, or answers
wrongly several times, is given up until a later patch. A push of the whole object ends all of that.

Decision D-12; rules AM-36, AM-42.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Final

import asyncpg
import msgspec

from hub.errors import LogUnavailable, StoreUnavailable
from hub.messaging.codec import encode, push_key
from hub.messaging.topics import PUSHES
from hub.model.envelope import Envelope, Scenario
from hub.model.outcome import Leg, Outcome, Verdict, object_name
from hub.ocpi.modules import Interface, segments
from hub.ocpi.parties import PartyId
from hub.ocpi.status import Refusal
from hub.routing.pull import admit, pause_seconds
from hub.store import incomplete
from hub.store.incomplete import Lacking
from hub.telemetry import OBJECTS_FETCHED, get_logger
from workers.app import WorkerContext
from workers.evidence import Evidence
from workers.sync_fetch import NotNow, NotThere, Question, WrongAnswer, fetch

log = get_logger(__name__)

_POLL_SECONDS: Final = 1.0
_AT_ONCE: Final = 16
_AT_ONCE_PER_PLATFORM: Final = 4
_FETCH_SECONDS: Final = 300.0
_SETTLE_SECONDS: Final = 60.0
_SEND_SECONDS: Final = 10.0
_MOST_WRONG_ANSWERS: Final = 5


@dataclass(frozen=True, slots=True)
class Ended:
    """What one attempt came to, and in how many seconds the object is looked at again."""

    result: str
    verdict: Verdict
    pause: float
    detail: str = ""
    is_given_up: bool = False


class Incomplete:
    """The fetches of one process."""

    def __init__(self, context: WorkerContext, evidence: Evidence) -> None:
        self._context = context
        self._evidence = evidence
        self._running: dict[asyncio.Task[None], str] = {}

    async def run_for_ever(self) -> None:
        """Fetch whatever is due; without Postgres it waits and goes on by itself."""
        try:
            while True:
                try:
                    await self._begin_due()
                except (StoreUnavailable, asyncpg.PostgresError) as error:
                    log.warning("incomplete.not_read", error=repr(error))
                except Exception:
                    log.exception("incomplete.not_read")
                await self._await_room()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _await_room(self) -> None:
        """Wait for a fetch to end where there is no room for another, else a moment."""
        if len(self._running) >= _AT_ONCE:
            await asyncio.wait(self._running, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(_POLL_SECONDS)

    async def _begin_due(self) -> None:
        room = _AT_ONCE - len(self._running)
        if room <= 0 or not self._context.keeper.may_send:
            return
        async with self._context.store.connection() as connection:
            await incomplete.tidy(connection)
            due = await incomplete.take(
                connection,
                limit=room,
                per_platform=_AT_ONCE_PER_PLATFORM,
                asked=list(self._running.values()),
                seconds=_FETCH_SECONDS + _SETTLE_SECONDS,
            )
        for lacking in due:
            task = asyncio.create_task(self._fetch(lacking), name="fetch")
            self._running[task] = lacking.platform_id
            task.add_done_callback(self._running.pop)

    async def _fetch(self, lacking: Lacking) -> None:
        """One attempt, and what it leads to: a push on the log, another attempt, or none before the next patch."""
        began = time.monotonic()
        correlation_id = str(uuid.uuid4())
        try:
            ended = await self._attempt(lacking, correlation_id)
            async with self._context.store.connection() as connection:
                await incomplete.put_off(
                    connection,
                    lacking.root,
                    seconds=ended.pause,
                    detail=ended.detail,
                    is_wrong=ended.result == "wrong",
                    is_given_up=ended.is_given_up,
                )
        except (StoreUnavailable, asyncpg.PostgresError) as error:
            log.warning("incomplete.not_put_off", error=repr(error))
            return
        except Exception:
            log.exception("incomplete.not_fetched")
            return
        self._tell(lacking, ended, correlation_id, (time.monotonic() - began) * 1000)

    async def _attempt(self, lacking: Lacking, correlation_id: str) -> Ended:
        later = pause_seconds(lacking.tries)
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                await self._pull(lacking, correlation_id)
        except NotThere as error:
            return Ended("not_there", Verdict.REFUSED, 0.0, str(error), is_given_up=True)
        except (WrongAnswer, msgspec.DecodeError) as error:
            is_given_up = lacking.wrong_answers + 1 >= _MOST_WRONG_ANSWERS
            return Ended("wrong", Verdict.TROUBLED, later, str(error), is_given_up=is_given_up)
        except NotNow as error:
            return Ended("not_now", Verdict.TROUBLED, max(later, error.seconds or 0.0), str(error))
        except (LogUnavailable, TimeoutError) as error:
            return Ended("not_now", Verdict.TROUBLED, later, str(error) or type(error).__name__)
        return Ended("pushed", Verdict.DELIVERED, max(later, _SETTLE_SECONDS))

    async def _pull(self, lacking: Lacking, correlation_id: str) -> None:
        directory = self._context.keeper.current
        platform = directory.platforms.get(lacking.platform_id)
        tail = "/".join(segments(lacking.tail)[:3])
        owner, object_id = PartyId(*segments(tail)[:2]), segments(tail)[2]
        if platform is None or not platform.is_connected or platform.version is None:
            raise NotNow("the owner's platform is not connected")
        if not directory.owns(platform.platform_id, owner):
            raise NotNow("the owner is no party of this platform")
        question = Question(lacking, platform, owner, object_id, correlation_id)
        raw = await fetch(self._context, self._evidence, question)
        found = admit(platform.version, lacking.root, tail, lacking.query, raw)
        if isinstance(found, Refusal):
            raise WrongAnswer(f"what the owner answered was refused: {found.message}")
        await self._push(question, tail, found.body)

    async def _push(self, question: Question, tail: str, body: bytes) -> None:
        root, owner = question.lacking.root, question.owner
        envelope = Envelope(
            version=question.platform.version or "",
            module=root.module,
            interface=Interface.RECEIVER,
            method="PUT",
            tail=tail,
            query=question.lacking.query,
            scenario=Scenario.BROADCAST,
            platform_id=question.platform.platform_id,
            from_party=owner,
            to_party=None,
            request_id=str(uuid.uuid4()),
            correlation_id=question.correlation_id,
            content_type="application/json",
            received_at=int(time.time() * 1000),
            body=body,
            known=question.lacking.known,
        )
        await self._context.durable.send(
            self._context.topics.name(PUSHES),
            value=body,
            key=push_key(root.module, owner, root.object_id),
            headers=encode(envelope),
            timeout=_SEND_SECONDS,
        )

    def _tell(self, lacking: Lacking, ended: Ended, correlation_id: str, elapsed_ms: float) -> None:
        root = lacking.root
        name = object_name(root.module, root.country_code, root.party_id, root.object_id)
        OBJECTS_FETCHED.labels("given_up" if ended.is_given_up else ended.result).inc()
        log.info(
            "object.fetched",
            object=name,
            platform_id=lacking.platform_id,
            correlation_id=correlation_id,
            result=ended.result,
            is_given_up=ended.is_given_up,
            tries=lacking.tries,
            pause_seconds=ended.pause,
            elapsed_ms=round(elapsed_ms, 1),
            detail=ended.detail,
        )
        self._context.outcomes.note(
            Outcome(
                at=int(time.time() * 1000),
                outcome_id=str(uuid.uuid4()),
                correlation_id=correlation_id,
                request_id="",
                leg=Leg.SYNC,
                kind="object.fetched",
                verdict=ended.verdict,
                platform_id=lacking.platform_id,
                to_party=str(root.owner),
                module=root.module,
                interface=Interface.SENDER.value,
                method="GET",
                object=name,
                elapsed_ms=elapsed_ms,
                detail=ended.detail or None,
            )
        )
