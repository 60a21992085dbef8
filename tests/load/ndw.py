"""`python -m tests.load.ndw FOLDER [--locations N] [--changes N]`: the whole Dutch feed through a real hub, to three receivers.

All objects are pushed by their parties, then all changes at the highest rate. One receiver's socket is closed after a quarter of
the changes; it comes back after three quarters, when the others have caught up, and the rest is pushed at once. In the end every
receiver's store and the hub's GET All must equal a reference, and the one that was away got at most one request for each unit
that was last changed meanwhile. Exit codes: 0 all of that, 1 not.
"""

import argparse
import contextlib
import gc
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from infra.dev.reference import Difference, Push, Reference, differences
from tests.load import drive
from tests.load.feed import Feed, Operation, read_feed
from tests.load.measure import peak_megabytes
from tests.load.pages import pages
from tests.load.rig import Hub, Platform, Spec, a_hub, platforms
from tests.load.stage import RECEIVER, Meter, settled
from tests.load.wire import request

_CPO_PLATFORMS: Final = 5
_CALLERS: Final = 48
_IDLE_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 1200.0
_MOST: Final = 100_000
_MODULES: Final = ("locations", "tariffs")
_EMSPS: Final = tuple(Spec(f"emsp{n}", "EMSP", (f"DE/R0{n}",), _MODULES, keeps=True) for n in range(3))


@dataclass(frozen=True, slots=True)
class Run:
    """The running parts; the last of `receivers` is the one that goes away."""

    hub: Hub
    senders: dict[str, Platform]
    receivers: list[Platform]

    @property
    def away(self) -> Platform:
        """The receiver that is down for half of the changes."""
        return self.receivers[-1]

    async def push(self, what: str, operations: Sequence[Operation]) -> None:
        """Push as fast as pushes are accepted, those of one object one after the other; all must be answered 1000."""
        heads = {party: platform.headers(party) for party, platform in self.senders.items()}

        def make(number: int) -> bytes:
            one = operations[number]
            return request(one.method, f"{RECEIVER}/{one.module}/{one.tail}", heads[one.party], one.body)

        lanes: list[list[int]] = [[] for _ in range(_CALLERS)]
        for number, operation in enumerate(operations):
            lanes[operation.lane % _CALLERS].append(number)
        meter = Meter(self.hub)
        driven = await drive.in_lanes(self.hub.url, lanes, make)
        assert not driven.failures, f"{len(driven.failures)} pushes failed, first {driven.failures[0]}"
        cpu = ", ".join(f"{name} {used:.0f}" for name, used in meter.per(len(operations)).items())
        print(
            f"{what}: {len(operations):,} pushes, {driven.rate:,.0f} accepted per s; CPU µs per push: {cpu}", flush=True
        )

    async def quiet(self, receivers: Sequence[Platform]) -> None:
        """Wait until nothing more arrives at these receivers."""
        await settled(receivers, idle_seconds=_IDLE_SECONDS, longest_seconds=_LONGEST_SECONDS)

    async def drained(self) -> None:
        """Wait until the hub owes nobody anything."""
        for _ in range(int(_LONGEST_SECONDS / _IDLE_SECONDS)):
            await self.quiet(self.receivers)
            if not await self.hub.value("select count(*) from dirty_mark"):
                return
        print(f"marks left: {await self.hub.value('select count(*) from dirty_mark')}")


async def run(folder: Path, feed: Feed) -> list[str]:
    """The whole run; what differs in the end."""
    print(
        f"{len(feed.tariffs):,} Tariffs, {len(feed.locations):,} Locations, {len(feed.changes):,} changes"
        f" ({feed.spread:,} of them with three before)",
        flush=True,
    )
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(a_hub(folder))
        specs = _senders(feed.parties)
        _, senders = await stack.enter_async_context(platforms(specs, folder))
        receivers: list[Platform] = []
        for spec in _EMSPS:
            _, made = await stack.enter_async_context(platforms([spec], folder))
            receivers += made.values()
        for platform in (*senders.values(), *receivers):
            await hub.register(platform)
        by_party = {party: senders[spec.name] for spec in specs for party in spec.parties}
        acting = Run(hub, by_party, receivers)
        await _load(acting, feed)
        found = await _change(acting, feed)
        found += await _differences(acting, feed, folder)
        await _costs(acting)
    return found


def _senders(parties: Sequence[str]) -> list[Spec]:
    return [Spec(f"cpo{n}", "CPO", tuple(parties[n::_CPO_PLATFORMS])) for n in range(_CPO_PLATFORMS)]


async def _load(acting: Run, feed: Feed) -> None:
    began = time.monotonic()
    await acting.push("load", [*feed.tariffs, *feed.locations])
    await acting.quiet(acting.receivers)
    seconds, count = time.monotonic() - began - _IDLE_SECONDS, len(feed.tariffs) + len(feed.locations)
    took = sum([await receiver.order("took") for receiver in acting.receivers])
    print(f"loaded: {count / seconds:,.0f} objects per s, {took / seconds:,.0f} deliveries per s, {took:,} in all")


async def _change(acting: Run, feed: Feed) -> list[str]:
    """Push the changes, with the outage in the middle half; tell what it cost and what was sent too often."""
    changes, away = feed.changes, acting.away
    down, up = len(changes) // 4, len(changes) * 3 // 4
    for receiver in acting.receivers:
        await receiver.order("reset")
    began = time.monotonic()
    await acting.push("changes, all receivers up", changes[:down])
    await away.order("down")
    await acting.push("changes, one receiver down", changes[down:up])
    await acting.quiet(acting.receivers[:-1])
    marks = await acting.hub.value("select count(*) from dirty_mark where platform_id = $1::uuid", away.platform_id)
    await away.order("reset")
    await away.order("up")
    returned = time.monotonic()
    await acting.push("changes, it is back", changes[up:])
    await acting.drained()
    seconds = time.monotonic() - began - 2 * _IDLE_SECONDS
    print(f"changed: {len(changes) / seconds:,.0f} changes per s from the first push to the last arrival")
    for receiver in acting.receivers[:-1]:
        took = await receiver.order("took")
        print(f"{receiver.spec.name}: {took:,} requests, {len(changes) - took:,} deliveries saved by coalescing")
    return await _catch_up(away, changes, down, up, marks, time.monotonic() - returned)


async def _catch_up(
    away: Platform, changes: Sequence[Operation], down: int, up: int, marks: int, seconds: float
) -> list[str]:
    """Requests to the receiver that returned, for units that were last changed while it was down: one each at most."""
    last = {operation.unit: number for number, operation in enumerate(changes)}
    missed = [unit for unit, number in last.items() if down <= number < up]
    requests: dict[str, int] = await away.order("units")
    counts = Counter(requests.get(unit, 0) for unit in missed)
    average = sum(times * units for times, units in counts.items()) / max(1, len(missed))
    print(
        f"{away.spec.name} missed {len(missed):,} units ({marks:,} marks when it came back); requests per unit"
        f" {average:.3f}, most {max(counts, default=0)} ({dict(sorted(counts.items()))}); {sum(requests.values()):,}"
        f" requests after its return, all within {seconds:.0f} s"
    )
    return [f"{unit}: sent {count} times after the outage" for unit in missed if (count := requests.get(unit, 0)) > 1]


async def _differences(acting: Run, feed: Feed, folder: Path) -> list[str]:
    reference = Reference()
    _apply(reference, [*feed.tariffs, *feed.locations])
    before = {msgspec.json.encode(entry) for entry in reference.objects("locations")}
    _apply(reference, feed.changes)
    expected = {module: list(reference.objects(module)) for module in _MODULES}
    moved = sum(msgspec.json.encode(entry) not in before for entry in expected["locations"])
    print(f"{moved:,} of {len(expected['locations']):,} Locations differ between start and end", flush=True)
    lines: list[str] = []
    for module in _MODULES:
        found = differences(module, expected[module], await _from_hub(acting, module), most=_MOST)
        lines += _told(f"GET All {module}", len(expected[module]), found)
    for receiver in acting.receivers:
        held = await _from_receiver(receiver, folder)
        for module in _MODULES:
            found = differences(module, expected[module], held[module], most=_MOST)
            lines += _told(f"{receiver.spec.name} {module}", len(expected[module]), found)
    return lines


def _apply(reference: Reference, operations: Iterable[Operation]) -> None:
    for one in operations:
        reference.apply(Push.of(one.method, one.module, one.tail, one.body))


def _told(what: str, count: int, found: list[Difference]) -> list[str]:
    objects = len({difference.object for difference in found})
    print(f"{what}: {f'{objects} DIFFER' if found else 'equal to the reference'} ({count:,} objects)", flush=True)
    return [f"{what}: {difference}" for difference in found]


async def _from_hub(acting: Run, module: str) -> list[dict[str, Any]]:
    viewer = acting.receivers[0]
    times: list[float] = []
    objects: list[dict[str, Any]] = []
    async for page in pages(acting.hub, viewer.headers(viewer.spec.parties[0], None), module):
        times.append(page.seconds)
        objects += page.objects
        assert page.total >= len(objects)
    whole = times[:-1] or times
    print(
        f"GET All {module}: {len(objects):,} objects, {len(times)} pages of 1000, first {times[0] * 1000:.0f} ms, last whole"
        f" {whole[-1] * 1000:.0f} ms, ratio {whole[-1] / times[0]:.2f}; all {sum(times):.1f} s"
    )
    return objects


async def _from_receiver(receiver: Platform, folder: Path) -> dict[str, list[dict[str, Any]]]:
    path = folder / f"{receiver.spec.name}.jsonl"
    await receiver.order("dump", str(path))
    with path.open() as file:
        objects = [json.loads(line) for line in file]
    report = await receiver.order("report")
    print(f"{receiver.spec.name}: {report}")
    return {
        "locations": [entry for entry in objects if "evses" in entry],
        "tariffs": [entry for entry in objects if "evses" not in entry],
    }


async def _costs(acting: Run) -> None:
    peaks = peak_megabytes(acting.hub.parts)
    sizes = ", ".join(f"{name} {size:,.0f}" for name, size in peaks.items())
    print(f"peak memory, MB (Postgres: the sum of its processes, shared pages counted in each): {sizes}")
    for fault in acting.hub.faults()[:5]:
        print(f"the hub logged: {fault}")


def main() -> int:
    """Run it and tell what differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.ndw", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the feed is")
    parser.add_argument("--locations", type=int, help="about so many Locations instead of all")
    parser.add_argument("--changes", type=int, help="so many real changes instead of all")
    given = parser.parse_args()
    began = time.monotonic()
    feed = read_feed(given.folder, given.locations, given.changes)
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="hub-ndw-") as folder:
        found = uvloop.run(run(Path(folder), feed))
    print(*found[:20], sep="\n")
    print(f"{'all equal' if not found else f'{len(found)} FAULTS'}; {time.monotonic() - began:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
