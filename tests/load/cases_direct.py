"""Cases without receivers of broadcasts: one party to one party, a push accepted, the store, GET All."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.load import drive
from tests.load.measure import Spread, cpu_seconds
from tests.load.pages import pages
from tests.load.report import NOT_RUN, Row
from tests.load.rig import Spec, process
from tests.load.stage import RECEIVER, Meter, Stage, a_location, a_status, clock, push
from tests.load.wire import request

SPECS: Final = (
    Spec("cpo", "CPO", ("NL/CP1",)),
    Spec("emsp", "EMSP", ("DE/MS1",), ("sessions",)),
    Spec("viewer", "EMSP", ("DE/MS2",)),
)
"""Nobody here receives Locations."""

CALLERS: Final = (64, 16, 1)
_SESSION: Final = json.dumps({"kwh": 1.5, "status": "ACTIVE", "last_updated": clock(), "pad": "x" * 215}).encode()
_EVSES: Final = 2


async def point_to_point(stage: Stage) -> AsyncIterator[Row]:
    """PUT of a Session of 0.3 kB to one party, through the hub and through the Node proxy in turns."""
    cpo = stage.platforms["cpo"]
    headers = cpo.headers("NL/CP1", "DE/MS1")

    def make(number: int) -> bytes:
        ids = f"X-Request-ID: {number}\r\nX-Correlation-ID: p2p-{number}\r\n"
        return request("PUT", f"{RECEIVER}/sessions/NL/CP1/S{number % 200}", headers + ids, _SESSION)

    async with contextlib.AsyncExitStack() as stack:
        proxies = {count: await stack.enter_async_context(_proxy(stage, count)) for count in (1, 2)}
        await drive.for_seconds(stage.hub.url, 64, stage.lengths.warm_up_seconds, make)
        for callers in CALLERS:
            for _ in range(stage.lengths.rounds):
                case = f"point to point, {callers} callers"
                meter = Meter(stage.hub)
                driven = await drive.for_seconds(stage.hub.url, callers, stage.lengths.seconds, make)
                yield row(case, "hub", driven, meter.per(len(driven.took)))
                for count, proxy in proxies.items():
                    yield await through_proxy(case, count, proxy, callers, stage.lengths.seconds, make)


async def idle(stage: Stage) -> AsyncIterator[Row]:
    """What the processes use while nobody calls: microseconds in a second."""
    await _stored(stage)
    meter, seconds = Meter(stage.hub), max(3, round(stage.lengths.seconds))
    await asyncio.sleep(seconds)
    yield Row("idle, CPU in a second", "hub", cpu=meter.per(seconds))


async def through_proxy(
    case: str, count: int, proxy: tuple[int, str] | None, callers: int, seconds: float, make: drive.Make
) -> Row:
    """One run through the Node proxy (its process id and URL), or the word that there is none."""
    who = f"node, {count} process{'es' if count > 1 else ''}"
    if proxy is None:
        return Row(case, who, more={NOT_RUN: "there is no node here"})
    pid, url = proxy
    await drive.for_seconds(url, callers, seconds / 5, make)
    before = cpu_seconds({"node": pid})
    driven = await drive.for_seconds(url, callers, seconds, make)
    used = (cpu_seconds({"node": pid})["node"] - before["node"]) / max(1, len(driven.took)) * 1e6
    return row(case, who, driven, {"node": used})


@contextlib.asynccontextmanager
async def _proxy(stage: Stage, processes: int) -> AsyncIterator[tuple[int, str] | None]:
    """The Node proxy for the same platforms; None where there is no Node."""
    if shutil.which("node") is None:
        yield None
        return
    cpo, emsp = stage.platforms["cpo"], stage.platforms["emsp"]
    shown = f"Token {base64.b64encode(cpo.token.encode()).decode()}"
    receivers = {"DE/MS1": {"url": emsp.url, "token": "Token bG9hZA=="}}
    async with a_proxy(processes, {shown: "NL/CP1"}, receivers, stage.folder) as found:
        yield found


@contextlib.asynccontextmanager
async def a_proxy(
    processes: int, tokens: dict[str, str], receivers: dict[str, dict[str, str]], folder: Path
) -> AsyncIterator[tuple[int, str]]:
    """Run the Node proxy; gives its process id and URL."""
    table = json.dumps({"tokens": tokens, "receivers": receivers})
    words = ["node", str(Path(__file__).with_name("proxy.mjs")), str(processes), table]
    async with process(*words, log=folder / "proxy.log") as (pid, port):
        yield pid, f"http://127.0.0.1:{port}"


async def durable_push(stage: Stage) -> AsyncIterator[Row]:
    """The PATCH of an EVSE for all, until it is answered 1000; there is nobody to receive it."""
    cpo = stage.platforms["cpo"]
    numbers = itertools.count()

    def make(number: int) -> bytes:
        name = f"push-{next(numbers)}"
        return push(cpo, "PATCH", f"L{number % stage.lengths.objects}/{number % _EVSES}", a_status(number), name)

    await drive.for_seconds(stage.hub.url, 16, stage.lengths.seconds, make)
    for callers in (1, 16):
        for _ in range(stage.lengths.rounds):
            await _stored(stage)
            meter = Meter(stage.hub)
            driven = await drive.for_seconds(stage.hub.url, callers, stage.lengths.seconds, make)
            await _stored(stage)
            made = row(f"durable push accepted, {callers} callers", "hub", driven, meter.per(len(driven.took)))
            yield made
    await _stored(stage)


async def upserts(stage: Stage) -> AsyncIterator[Row]:
    """The fan-out without receivers: how fast it stores what waits in the log; first new Locations, then EVSEs."""
    cpo, objects = stage.platforms["cpo"], stage.lengths.objects

    def whole(number: int) -> bytes:
        body = a_location("NL/CP1", number, _EVSES, marked_at)
        return push(cpo, "PUT", f"L{number}", body, f"put-{number}")

    def patch(number: int) -> bytes:
        return push(cpo, "PATCH", f"L{number}/0", a_status(1, marked_at), f"patch-{number}")

    for case, make, units in (
        (f"upserts, new Location with {_EVSES} EVSEs", whole, 1 + _EVSES),
        ("upserts, EVSE patch", patch, 1),
    ):
        marked_at = clock()
        pid = stage.hub.parts["fanout"]
        os.kill(pid, signal.SIGSTOP)
        try:
            driven = await drive.as_many(stage.hub.url, 16, range(objects), make)
        finally:
            os.kill(pid, signal.SIGCONT)
        meter = Meter(stage.hub)
        rate = await _storing_rate(stage, marked_at, objects * units) / units
        more = {"units per s": f"{rate * units:,.0f}", "accepted per s": f"{driven.rate:,.0f}"}
        cpu = {name: used for name, used in meter.per(objects).items() if name in {"fanout", "postgres"}}
        yield Row(case, "hub", rate, cpu=cpu, failures=len(driven.failures), more=more)


async def _storing_rate(stage: Stage, marked_at: str, units: int) -> float:
    """Units per second from a tenth of them to the last."""
    sql = "select count(*) from unit where last_updated = ($1::text)::timestamptz"
    began, at_first = None, 0
    while (count := await stage.hub.value(sql, marked_at)) < units:
        if began is None and count >= units / 10:
            began, at_first = time.monotonic(), count
        await asyncio.sleep(0.1)
    return (units - at_first) / (time.monotonic() - began) if began else 0.0


async def get_all(stage: Stage) -> AsyncIterator[Row]:
    """Every page of all Locations, by its Link; the first and the last page."""
    viewer = stage.platforms["viewer"]
    first: list[float] = []
    last: list[float] = []
    rests: list[float] = []
    meter, count = Meter(stage.hub), 0
    for _ in range(stage.lengths.rounds * 3):
        came = [page async for page in pages(stage.hub, viewer.headers("DE/MS2"))]
        objects, took = sum(len(page.objects) for page in came), [page.seconds for page in came]
        assert objects == stage.lengths.objects, f"GET All gave {objects} objects of {stage.lengths.objects}"
        count += len(took)
        first.append(took[0])
        rests += took[1:-1]
        last.append(took[-1])
    cpu = meter.per(count)
    ratio = Spread.of(last).p50 / Spread.of(first).p50
    for name, times in (("first", first), ("other", rests), ("last", last)):
        spread = Spread.of(times)
        more = {"last / first": f"{ratio:.2f}"} if name == "last" else {}
        made = Row(f"GET All, 1000 of {stage.lengths.objects}, {name} page", "hub", None, spread.p50, spread.p99)
        yield replace(made, cpu={part: cpu[part] for part in ("serve", "postgres")}, more=more)


def row(case: str, who: str, driven: drive.Driven, cpu: dict[str, float]) -> Row:
    """What callers saw, as a row."""
    spread = Spread.of(driven.took)
    return Row(case, who, driven.rate, spread.p50, spread.p99, cpu, len(driven.failures))


async def _stored(stage: Stage) -> None:
    """Wait until the fan-out has used no CPU worth speaking of for half a second: what was pushed is stored."""
    while True:
        before = cpu_seconds(stage.hub.parts)["fanout"]
        await asyncio.sleep(0.5)
        if cpu_seconds(stage.hub.parts)["fanout"] - before < 0.05:
            return
