"""Steps 12 to 15 of the demo: one eMSP is away while everything changes and workers die; all end with the same state."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from hub.messaging.lag import measure_lag
from hub.messaging.topics import Topics
from infra.dev.demo_changes import Change, before_and_after, changes, units
from infra.dev.demo_rig import DemoFailedError, Platform, Stage, eventually, kill, must
from infra.dev.demo_spread import HUB
from infra.dev.reference import Difference, Reference, differences

AWAY: Final = "emsp-two"
MODULES: Final = ("locations", "tariffs")
LEAST_UNRELEASED: Final = 100
_LANES: Final = 8
_AT_ONCE_MS: Final = 1_000
_SLOW: Final = {"fault": "slow", "module": "locations", "delay_ms": 1_000}


async def stop_one(stage: Stage) -> str:
    """An eMSP stops: the CPOs learn that it is OFFLINE, and a request to it is answered 4003 at once."""
    away = stage.platforms[AWAY]
    await away.process.stop()
    stopped = time.monotonic()
    first = await _ask(stage)
    must(first["status_code"] == 4003, f"the first request was answered {first['status']} {first['body']}")
    others = stage.of("cpo")
    await asyncio.gather(*(_told(platform, away.parties[0], "OFFLINE", 60) for platform in others))
    took = time.monotonic() - stopped
    answer = await _ask(stage)
    must(answer["status_code"] == 4003, f"a request to it was answered {answer['status']} {answer['body']}")
    must(answer["ms"] < _AT_ONCE_MS, f"4003 took {answer['ms']:.0f} ms")
    return (
        f"the {len(others)} CPO platforms, who may exchange data with {away.parties[0]}, know after {took:.1f} s that it is"
        f" OFFLINE\na request to it is answered 4003 in {answer['ms']:.0f} ms"
    )


async def _ask(stage: Stage) -> dict[str, Any]:
    path, away = "04FFFFFFFFFFFF/authorize", stage.platforms[AWAY].parties[0]
    return await stage.platforms["cpo-south"].send("POST", "tokens", path, interface="sender", to=away)


async def _told(platform: Platform, party: str, status: str, seconds: float) -> None:
    async def look() -> bool:
        held = [entry["object"] for entry in await platform.look("store/hubclientinfo")]
        return any(f"{one['country_code']}/{one['party_id']}" == party and one["status"] == status for one in held)

    await eventually(look, seconds=seconds, what=f"{platform.name} is told that {party} is {status}")


async def replay(stage: Stage) -> str:
    """Five days of changes are pushed; the fan-out worker is killed twice while much of it is not released yet."""
    replayed = changes()
    before_and_after(replayed)
    half = len(replayed) // 2
    there = [emsp for emsp in stage.of("emsp") if emsp.name != AWAY]
    await asyncio.gather(*(emsp.order("faults", **_SLOW) for emsp in there))
    try:
        codes = await _push(stage, replayed[:half])
        behind = [await _kill_fanout(stage)]
        codes += await _push(stage, replayed[half:])
        peak = await _unreleased(stage)

        async def goes_on() -> bool:
            return await _unreleased(stage) < peak

        await eventually(goes_on, seconds=30, what="the new fan-out worker releases records", every_seconds=0.3)
        behind.append(await _kill_fanout(stage))
    finally:
        await asyncio.gather(*(emsp.order("faults", **_SLOW, on=False) for emsp in there))

    async def all_released() -> bool:
        return await _unreleased(stage) == 0

    await eventually(all_released, seconds=60, what="every record is released", every_seconds=0.3)
    must(set(codes) == {1000}, f"pushes were answered {Counter(codes)}")
    return (
        f"{len(codes)} pushes of {len(units(replayed))} units, every one answered 1000\n"
        f"the fan-out worker was killed twice, with {behind[0]} and {behind[1]} records not released; now all are"
    )


async def _push(stage: Stage, replayed: list[Change]) -> list[int | None]:
    """Push as their CPOs, those of one Location in their order; the OCPI code of each answer."""
    senders = {party: platform for platform in stage.of("cpo") for party in platform.parties}
    by_location: dict[str, list[Change]] = {}
    for change in replayed:
        by_location.setdefault(change.location, []).append(change)
    waiting = iter(by_location.values())
    codes: list[int | None] = []

    async def work() -> None:
        for lane in waiting:
            for change in lane:
                order = {"from": change.party, "to": HUB, "body": change.body}
                answer = await senders[change.party].send(change.method, "locations", change.path, **order)
                codes.append(answer["status_code"])

    await asyncio.gather(*(work() for _ in range(_LANES)))
    return codes


async def _kill_fanout(stage: Stage) -> int:
    """SIGKILL while enough is not released, and wait for the next one; how much it was."""
    behind = await _unreleased(stage)
    must(behind >= LEAST_UNRELEASED, f"only {behind} records are not released")
    pid = stage.worker_pid("fanout")
    kill(pid)

    async def is_back() -> bool:
        try:
            return stage.worker_pid("fanout") != pid
        except (OSError, ValueError):
            return False

    await eventually(is_back, seconds=15, what="the supervisor starts another fan-out worker")
    return behind


async def _unreleased(stage: Stage) -> int:
    lags = await measure_lag(stage.hub.ready["kafka_bootstrap"], Topics())
    return next(lag.behind for lag in lags if lag.worker == "fanout")


async def come_back(stage: Stage) -> str:
    """The eMSP returns: it is CONNECTED, gets each changed unit at most once, and all stores are equal."""
    away, replayed = stage.platforms[AWAY], changes()
    _, after = before_and_after(replayed)
    returned, arrived = time.monotonic(), time.time()
    await stage.restart(AWAY)
    others = stage.of("cpo")
    await asyncio.gather(*(_told(platform, away.parties[0], "CONNECTED", 5) for platform in others))
    connected = time.monotonic() - returned
    whole = await asyncio.gather(*(_settled(emsp, after) for emsp in stage.of("emsp")))
    equal = time.monotonic() - returned
    got = Counter(item["path"].upper() for item in await away.received(module="locations") if item["method"] != "GET")
    often = {path: count for path, count in got.items() if count > 1}
    if often:
        told = [item for item in await away.received(module="locations") if item["path"].upper() == next(iter(often))]
        shown = [f"{item['method']} {item['at'] - arrived:.2f} s {item['answer']['status_code']}" for item in told]
        must(
            False,
            f"{len(often)} of {len(got)} units came more than once, such as {told[0]['path']}: {', '.join(shown)}",
        )
    must(len(got) <= len(units(replayed)), f"{len(got)} requests for {len(units(replayed))} changed units")
    hub = await _everything(stage.platforms["emsp-one"])
    for module in MODULES:
        _must_equal("the hub", differences(module, after.objects(module), hub.of(module)))
    return (
        f"CONNECTED after {connected:.1f} s, all that it missed after {equal:.1f} s:"
        f" {got.total()} requests for {len(units(replayed))} changed units\n"
        f"{len(whole)} stores, the hub's and the reference are equal: {sum(map(len, hub.objects.values()))} objects"
    )


async def _settled(emsp: Platform, after: Reference) -> None:
    """Wait until an eMSP holds what it must.

    Raises:
        DemoFailedError: it does not in time; the message tells the first differences.
    """
    found: list[Difference] = []

    async def look() -> bool:
        found.clear()
        for module in MODULES:
            held = [entry["object"] for entry in await emsp.look(f"store/{module}")]
            found.extend(differences(module, after.objects(module), held))
        return not found

    try:
        await eventually(look, seconds=60, what=f"{emsp.name} holds the newest state", every_seconds=0.3)
    except DemoFailedError:
        _must_equal(emsp.name, found)


def _must_equal(who: str, found: list[Difference]) -> None:
    must(not found, f"{who} differs at {len(found)} places: " + "; ".join(map(str, found[:3])))


@dataclass(frozen=True, slots=True)
class Listed:
    """What GET All gave, by module."""

    objects: dict[str, list[dict[str, Any]]]

    def of(self, module: str) -> list[dict[str, Any]]:
        """The objects of a module."""
        return self.objects[module]


async def _everything(emsp: Platform) -> Listed:
    listed = {}
    for module in MODULES:
        answer = await emsp.order("pull", module=module, to=HUB, store=False)
        must(answer["complete"], f"GET All of {module} broke off: {answer['pages'][-1:]}")
        listed[module] = answer["objects"]
    return Listed(listed)


async def get_all(stage: Stage) -> str:
    """The eMSP that was away reads everything by GET All: the same set."""
    _, after = before_and_after(changes())
    listed = await _everything(stage.platforms[AWAY])
    for module in MODULES:
        _must_equal("GET All", differences(module, after.objects(module), listed.of(module)))
    return ", ".join(f"{len(listed.of(module))} {module}" for module in MODULES) + ", equal to the reference"
