"""Tells the ledger what happened, without ever holding up the one who tells.

Outcomes are gathered for a moment, and those of one receiver share a record: a record of its own costs more than the request that
the outcome tells of may cost.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any, Final

from hub.messaging.codec import encode_outcomes
from hub.messaging.producer import Producer
from hub.messaging.topics import OUTCOMES, Topics
from hub.model.outcome import Outcome
from hub.telemetry import OUTCOMES_DROPPED, get_logger, is_logged

log = get_logger(__name__)

_MOST_WAITING: Final = 50_000
_MOST_IN_FLIGHT: Final = 500
_MOST_IN_RECORD: Final = 50
_SEND_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.5
_GATHER_SECONDS: Final = 0.05
"""How long outcomes are gathered."""
_LOGGED: Final = tuple(name for name in Outcome.__struct_fields__ if name not in {"at", "kind"})
"""The log has a time of its own."""


class Outcomes:
    """A bounded buffer in front of `ocpi.outcomes`. What it had to drop is counted, oldest first."""

    def __init__(self, producer: Producer, topics: Topics) -> None:
        self._producer = producer
        self._topic = topics.name(OUTCOMES)
        self._waiting: deque[Outcome] = deque()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._is_logged = is_logged(logging.DEBUG)

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name="outcomes")

    def note(self, outcome: Outcome) -> None:
        """Take one outcome, and log it at DEBUG: the one wide event of its unit of work. Never waits."""
        if self._is_logged:
            log.debug(outcome.kind, **_fields(outcome))
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            OUTCOMES_DROPPED.inc()
        self._waiting.append(outcome)
        self._idle.clear()
        self._wake.set()

    async def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything taken so far is sent; False when time ran out."""
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        finally:
            self._hurry.clear()
        return True

    async def stop(self) -> None:
        """Send what is left, for a few seconds at most, and end."""
        await self.flush()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_SECONDS):
                    await self._hurry.wait()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_IN_FLIGHT))]
                await self._send(batch)
            self._idle.set()

    async def _send(self, batch: list[Outcome]) -> None:
        groups = _shared(batch)
        try:
            records = [((group[0].to_party or "").encode(), encode_outcomes(group)) for group in groups]
        except Exception:
            log.exception("outcomes.not_encoded", count=len(batch))
            OUTCOMES_DROPPED.inc(len(batch))
            return
        sent = await self._producer.send_all(self._topic, records, timeout=_SEND_SECONDS)
        failed = [outcome for group, was_sent in zip(groups, sent, strict=True) if not was_sent for outcome in group]
        if failed:
            log.warning("outcomes.delayed", count=len(failed))
            self._waiting.extendleft(reversed(failed))
            await asyncio.sleep(_RETRY_SECONDS)


def _shared(batch: Sequence[Outcome]) -> list[list[Outcome]]:
    """The outcomes that share a record: of one receiver, in order, no more than the ledger takes at once."""
    of_receiver: defaultdict[str | None, list[Outcome]] = defaultdict(list)
    for outcome in batch:
        of_receiver[outcome.to_party].append(outcome)
    return [
        told[first : first + _MOST_IN_RECORD]
        for told in of_receiver.values()
        for first in range(0, len(told), _MOST_IN_RECORD)
    ]


def _fields(outcome: Outcome) -> dict[str, Any]:
    return {name: value for name in _LOGGED if (value := getattr(outcome, name)) is not None}
