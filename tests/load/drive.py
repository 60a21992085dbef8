"""The callers: as fast as they are answered, or at a given pace whatever the answers do."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.load.wire import Caller, Message

Make = Callable[[int], bytes]
"""The request with this number."""


@dataclass(slots=True)
class Driven:
    """What callers saw: seconds per answer, when each request was sent (monotonic), and answers that were no success."""

    seconds: float = 0.0
    took: list[float] = field(default_factory=list)
    sent_at: dict[int, float] = field(default_factory=dict)
    failures: list[Message | ConnectionError] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.took) / self.seconds if self.seconds else 0.0

    def note(self, number: int, began: float, came: Message | ConnectionError) -> None:
        """Add one answer."""
        self.sent_at[number] = began
        self.took.append(time.monotonic() - began)
        if isinstance(came, ConnectionError) or b"1000" not in came.body:
            self.failures.append(came)


async def for_seconds(url: str, callers: int, seconds: float, make: Make, first: int = 0) -> Driven:
    """Callers that each send the next request when they have the answer, for so long."""
    ends = time.monotonic() + seconds
    numbers = itertools.takewhile(lambda _: time.monotonic() < ends, itertools.count(first))
    return await _drive(url, callers, numbers, make)


async def as_many(url: str, callers: int, numbers: Iterable[int], make: Make) -> Driven:
    """The same for these requests."""
    return await _drive(url, callers, iter(numbers), make)


async def in_lanes(url: str, lanes: Iterable[Iterable[int]], make: Make) -> Driven:
    """A caller for each lane, which sends the lane's requests in their order."""
    runs = await asyncio.gather(*(_drive(url, 1, lane, make) for lane in lanes))
    whole = Driven(max(run.seconds for run in runs))
    for run in runs:
        whole.took += run.took
        whole.failures += run.failures
    return whole


async def _drive(url: str, callers: int, numbers: Iterable[int], make: Make) -> Driven:
    driven = Driven()
    connections = [await Caller.open(url) for _ in range(callers)]
    shared = iter(numbers)

    async def one(caller: Caller) -> None:
        for number in shared:
            bytes_, began = make(number), time.monotonic()
            try:
                came: Message | ConnectionError = await caller.ask(bytes_)
            except ConnectionError as error:
                came, caller = error, await Caller.open(url)
            driven.note(number, began, came)
        caller.close()

    began = time.monotonic()
    await asyncio.gather(*(one(caller) for caller in connections))
    driven.seconds = time.monotonic() - began
    return driven


async def paced(url: str, per_second: float, seconds: float, make: Make, first: int = 0) -> Driven:
    """One request every 1/`per_second`, each on a connection that is free; none waits for another's answer."""
    driven = Driven()
    free: list[Caller] = []
    began = time.monotonic()

    async def one(number: int) -> None:
        caller = free.pop() if free else await Caller.open(url)
        sent_at = time.monotonic()
        try:
            driven.note(number, sent_at, await caller.ask(make(number)))
            free.append(caller)
        except ConnectionError as error:
            driven.note(number, sent_at, error)

    async with asyncio.TaskGroup() as group:
        for place in range(int(per_second * seconds)):
            with suppress(TimeoutError):
                await asyncio.sleep(max(0.0, began + place / per_second - time.monotonic()))
            group.create_task(one(first + place))
    driven.seconds = time.monotonic() - began
    for caller in free:
        caller.close()
    return driven
