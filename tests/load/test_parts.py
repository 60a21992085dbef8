"""The parts of the load harness measure what they say."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.load import drive
from tests.load.cases_direct import a_proxy, through_proxy
from tests.load.held import Held
from tests.load.measure import Spread, cpu_seconds, peak_megabytes, percentile
from tests.load.report import NOT_RUN, Row, medians
from tests.load.wire import Caller, Listener, Message, answer, request

OK = b'{"status_code":1000}'


def an_evse(uid: str) -> dict[str, Any]:
    """An EVSE that is free."""
    connectors = [{"id": "1", "last_updated": "2026-06-02T10:00:00Z"}]
    return {"uid": uid, "status": "AVAILABLE", "connectors": connectors, "last_updated": "2026-06-02T10:00:00Z"}


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)], ids=["p50", "p99", "p100", "p0"]
)
def test_a_percentile_is_the_value_that_this_share_does_not_exceed(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


def test_a_spread_is_told_in_milliseconds() -> None:
    assert Spread.of([0.003, 0.001, 0.002]) == Spread(2.0, 3.0)


def test_the_cpu_of_a_process_includes_children_that_have_ended() -> None:
    before = cpu_seconds({"me": os.getpid()})["me"]
    subprocess.run([sys.executable, "-c", "x = sum(range(12_000_000))"], check=True)
    assert cpu_seconds({"me": os.getpid()})["me"] - before > 0.05


def test_the_cpu_of_a_process_grows_as_it_works() -> None:
    before, began = cpu_seconds({"me": os.getpid()})["me"], time.process_time()
    while time.process_time() - began < 0.2:
        pass
    assert 0.15 < cpu_seconds({"me": os.getpid()})["me"] - before < 0.4


def test_the_peak_of_a_process_is_at_least_what_it_holds() -> None:
    assert peak_megabytes({"me": os.getpid()})["me"] > 20


def test_equal_runs_become_their_median() -> None:
    rows = [Row("a case", "hub", rate, cpu={"serve": rate}) for rate in (3.0, 1.0, 2.0)]
    (row,) = medians(rows)
    assert (row.rate, row.cpu["serve"], row.more["rates"]) == (2.0, 2.0, "3/1/2")


async def test_a_caller_gets_the_answer_to_its_own_request_however_the_bytes_are_cut() -> None:
    listener = Listener(lambda message: answer(message.body * 3))
    await listener.up()
    caller = await Caller.open(listener.url)
    for size in (1, 70_000, 0, 300_000):
        got = await caller.ask(request("PUT", "/x", "", b"y" * size))
        assert (got.status, len(got.body)) == (200, 3 * size)
    caller.close()
    await listener.down()


async def test_a_listener_that_is_down_cuts_off_its_callers_and_comes_back_on_its_port() -> None:
    listener = Listener(lambda _: None)
    await listener.up()
    caller, port = await Caller.open(listener.url), listener.port
    waiting = asyncio.create_task(caller.ask(request("PUT", "/x", "", b"y")))
    await asyncio.sleep(0)
    await listener.down()
    with pytest.raises(ConnectionError):
        await waiting
    with pytest.raises(ConnectionError):
        await Caller.open(listener.url)
    await listener.up()
    (await Caller.open(listener.url)).close()
    assert listener.port == port
    await listener.down()


async def test_paced_requests_do_not_wait_for_each_others_answers() -> None:
    listener = Listener(lambda message: None if b"/slow" in message.head else answer(OK))
    await listener.up()
    driven = await drive.paced(listener.url, 100, 0.2, lambda number: request("PUT", f"/{number}", "", b"x"))
    assert sorted(driven.sent_at) == list(range(20))
    assert driven.seconds >= 0.19
    await listener.down()


def test_a_receiver_refuses_what_it_does_not_know_and_holds_what_it_was_given() -> None:
    held = Held()
    evse = an_evse("E")
    patch = b'{"status":"CHARGING","last_updated":"2026-06-02T11:00:00Z"}'
    assert not held.take("PATCH", "locations", "NL/ABC/L/E", patch)
    assert held.take("PUT", "locations", "NL/ABC/L", json.dumps({"id": "L", "evses": [evse]}).encode())
    assert held.take("PATCH", "locations", "NL/ABC/L/E", patch)
    assert held.take("PATCH", "locations", "NL/ABC/L/E/1", b'{"last_updated":"2026-06-02T12:00:00Z"}')
    expected = evse | {"status": "CHARGING", "last_updated": "2026-06-02T12:00:00Z"}
    expected["connectors"] = [{"id": "1", "last_updated": "2026-06-02T12:00:00Z"}]
    assert list(held.objects()) == [{"id": "L", "evses": [expected]}]
    assert held.take("DELETE", "locations", "NL/ABC/L", b"")
    assert list(held.objects()) == []


async def test_without_node_its_column_says_so() -> None:
    row = await through_proxy("a case", 1, None, 16, 1.0, lambda _: b"")
    assert (row.rate, list(row.more)) == (None, [NOT_RUN])


async def test_the_proxy_checks_the_token_and_swaps_it_or_cannot_start_without_node(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        with pytest.raises(FileNotFoundError):
            await a_proxy(1, {}, {}, tmp_path).__aenter__()
        return
    came: list[Message] = []

    def take(message: Message) -> bytes:
        came.append(message)
        return answer(OK)

    listener = Listener(take)
    await listener.up()
    receivers = {"DE/MS1": {"url": listener.url, "token": "Token theirs"}}
    async with a_proxy(1, {"Token ours": "NL/CP1"}, receivers, tmp_path) as (_, url):
        caller = await Caller.open(url)
        routing = "OCPI-from-country-code: NL\r\nOCPI-from-party-id: CP1\r\nOCPI-to-country-code: DE\r\n"
        headers = f"Authorization: Token ours\r\n{routing}OCPI-to-party-id: MS1\r\n"
        assert (await caller.ask(request("PUT", "/s/1", headers, b"{}"))).body == OK
        assert (await caller.ask(request("PUT", "/s/1", headers.replace("ours", "none"), b"{}"))).status == 401
        caller.close()
    assert [(one.header("authorization"), one.body) for one in came] == [("Token theirs", b"{}")]
    await listener.down()
