"""A request to one party, through the real HTTP process, log and relay, seen from both ends."""

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from hub.messaging.topics import Topics
from tests.integration.conftest import PARTITIONS, url_of
from tests.integration.exchange_rig import HUB, Came, Exchange, exchange, ocpi
from tests.integration.partner_rig import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSION = {"cdr_token": {"country_code": "DE", "party_id": "MS1", "uid": "U1"}, "kwh": 0.60}
START = {"location_id": "L1", "evse_uid": "E1", "token": {"uid": "U1"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    name = f"exchange_{uuid.uuid4().hex[:8]}"
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"create database {name} template {migrated_template}")
    topics = Topics(f"{name}.", PARTITIONS)
    await topics.apply(kafka_bootstrap)
    folder = tmp_path_factory.mktemp("exchange")
    settings = {"HUB_PUSH_SECONDS": "1.5", "HUB_SINGLE_SECONDS": "1.5", "HUB_LARGEST_BODY_BYTES": "100000"}
    async with exchange(url_of(postgres_url, name), kafka_bootstrap, topics, folder, **settings) as rig:
        yield rig
    await topics.delete(kafka_bootstrap)
    await connection.execute(f"drop database {name} with (force)")
    await connection.close()


@pytest.fixture
def rig(running: Exchange) -> Exchange:
    """The running parts, with nothing remembered of the test before."""
    running.reset()
    return running


async def test_headers_swap_and_bytes_stay(rig: Exchange) -> None:
    """RT-07, RT-08, RT-12, RT-14, RT-15, ID-03, ID-04, ID-05, AU-12, RT-23, D-22."""
    raw = b'{ "kwh" : 0.60, "x": 1e2,\n "name": "caf\xc3\xa9" }'
    path = "receiver/sessions/NL/CPO/a%2Fb%20c//?type=X&y=%20"
    got = await rig.ask(
        rig.cpo, "PUT", path, to="de/mS1", raw=raw, headers={"Cookie": "c=1", "X-Forwarded-For": "1.2.3.4"}
    )

    assert (got.http, got.ocpi) == (200, 1000)
    (came,) = rig.emsp.came
    assert came.target == "/receiver/sessions/NL/CPO/a%2Fb%20c//?type=X&y=%20"
    assert came.body == raw
    assert came.headers["ocpi-to-party-id"].upper() == "MS1"
    assert came.headers["ocpi-from-party-id"] == "CPO"
    assert came.headers["authorization"] != ""
    assert rig.cpo.token not in str(came)
    assert "cookie" not in came.headers
    assert "x-forwarded-for" not in came.headers
    assert came.headers["x-request-id"] != got.headers["x-request-id"]
    assert came.headers["x-correlation-id"] == got.headers["x-correlation-id"]
    assert got.answered_by == "DE/MS1"
    assert got.headers["ocpi-to-party-id"] == "CPO"
    assert not rig.other.came


async def test_a_session_finds_its_emsp_and_later_its_cpo(rig: Exchange) -> None:
    """OR-02, OR-03, OR-04, OR-08, D-01: by cdr_token, then by the session, with TO = hub as without."""
    assert (await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", body=SESSION)).ocpi == 1000
    patch = {"kwh": 1.5, "last_updated": "2026-06-02T10:00:00Z"}
    assert (await rig.ask(rig.cpo, "PATCH", "receiver/sessions/NL/CPO/s1", body=patch, to=HUB)).ocpi == 1000
    stop = await rig.ask(rig.emsp, "POST", "receiver/commands/STOP_SESSION", body={"session_id": "S1"})
    foreign = await rig.ask(rig.other, "POST", "receiver/commands/STOP_SESSION", body={"session_id": "S1"})

    assert [came.method for came in rig.emsp.came] == ["PUT", "PATCH"]
    assert (stop.ocpi, stop.answered_by) == (1000, "NL/CPO")
    assert len(rig.cpo.came) == 1
    assert rig.cpo.came[0].headers["ocpi-from-party-id"] == "MS1"
    assert foreign.ocpi == 4001
    assert not rig.other.came


async def test_a_command_gets_the_hubs_response_url_and_its_result_comes_back(rig: Exchange) -> None:
    """CB-02 … CB-06, CB-14, D-24: before the direct answer, again later, by nobody else."""
    seen: list[str] = []

    async def calls_back_first(came: Came) -> web.StreamResponse:
        seen.append(json.loads(came.body)["response_url"])
        early = await rig.ask(rig.cpo, "POST", seen[0], to="DE/MS1", body={"result": "ACCEPTED"})
        return ocpi(data={"result": "ACCEPTED", "timeout": 30}) if early.ocpi == 1000 else ocpi(3000)

    rig.cpo.script = calls_back_first
    body = START | {"response_url": f"{rig.emsp.url}/cb/1?x=1"}
    got = await rig.ask(rig.emsp, "POST", "receiver/commands/START_SESSION", to="NL/CPO", body=body)
    again = await rig.ask(rig.cpo, "POST", seen[0], to="DE/MS1", body={"result": "CANCELED_RESERVATION"})
    foreign = await rig.ask(rig.other, "POST", seen[0], body={"result": "ACCEPTED"})
    unknown = await rig.ask(rig.cpo, "POST", seen[0][:-4] + "0000", body={"result": "ACCEPTED"})

    assert got.ocpi == again.ocpi == 1000
    assert seen[0].startswith(f"{rig.url}/ocpi/2.2.1/sender/commands/START_SESSION/")
    assert len(seen[0]) <= 255
    assert [came.target for came in rig.emsp.came] == ["/cb/1?x=1", "/cb/1?x=1"]
    assert json.loads(rig.emsp.came[0].body) == {"result": "ACCEPTED"}
    assert rig.emsp.came[0].headers["ocpi-to-party-id"] == "MS1"
    assert (foreign.http, foreign.ocpi) == (404, 2001)
    assert (unknown.http, unknown.ocpi) == (404, 2001)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "https://elsewhere.example/cb"])
async def test_a_response_url_elsewhere_is_refused_before_anything_leaves(rig: Exchange, url: str) -> None:
    """CB-15."""
    body = START | {"response_url": url}
    got = await rig.ask(rig.emsp, "POST", "receiver/commands/START_SESSION", to="NL/CPO", body=body)
    assert got.ocpi == 2001
    assert not rig.cpo.came


async def test_a_cdrs_location_is_the_hubs_and_leads_to_the_cdr(rig: Exchange) -> None:
    """CB-12, D-19: also where the receiver gave none."""

    async def stores(came: Came) -> web.StreamResponse:
        if came.method == "GET":
            return ocpi(data={"id": "C1"})
        return ocpi(http=201, headers={"Location": f"{rig.emsp.url}/kept/7"})

    rig.emsp.script = stores
    got = await rig.ask(rig.cpo, "POST", "receiver/cdrs", body={"id": "C1", "cdr_token": SESSION["cdr_token"]})
    location = got.headers["location"]
    back = await rig.ask(rig.cpo, "GET", location, to="DE/MS1")
    foreign = await rig.ask(rig.other, "GET", location)

    assert got.http == 201
    assert location.startswith(f"{rig.url}/ocpi/2.2.1/receiver/cdrs/")
    assert back.body["data"] == {"id": "C1"}
    assert rig.emsp.came[-1].target == "/kept/7"
    assert foreign.http == 404
    rig.reset()
    without = await rig.ask(rig.cpo, "POST", "receiver/cdrs", body={"id": "C2", "cdr_token": SESSION["cdr_token"]})
    assert without.headers["location"].startswith(f"{rig.url}/ocpi/2.2.1/receiver/cdrs/")


async def test_a_list_of_one_party_is_read_page_by_page_through_the_hub(rig: Exchange) -> None:
    """PG-09, PG-10, RT-17."""

    async def pages(came: Came) -> web.StreamResponse:
        if "offset=50" in came.target:
            return ocpi(data=[2], headers={"X-Total-Count": "2", "X-Limit": "50"})
        link = f'<{rig.cpo.url}/sender/locations?offset=50&limit=1>; rel="next"'
        return ocpi(data=[1], headers={"Link": link, "X-Total-Count": "2", "X-Limit": "50"})

    rig.cpo.script = pages
    first = await rig.ask(rig.emsp, "GET", "sender/locations?limit=1", to="NL/CPO")
    link = first.headers["link"].split(">")[0].lstrip("<")
    second = await rig.ask(rig.emsp, "GET", link, to="NL/CPO")
    foreign = await rig.ask(rig.other, "GET", link, to="NL/CPO")

    assert link.startswith(f"{rig.url}/ocpi/2.2.1/sender/locations?")
    assert (first.body["data"], second.body["data"]) == ([1], [2])
    assert second.headers["x-total-count"] == "2"
    assert "link" not in second.headers
    assert foreign.http == 404


@pytest.mark.parametrize(
    ("answer", "http", "code"),
    [
        (lambda: ocpi(2003), 200, 2003),
        (lambda: ocpi(2004, 404), 404, 2004),
        (lambda: web.Response(status=404), 404, 2001),
        (lambda: ocpi(1000, 401), 200, 4003),
        (lambda: web.Response(status=403), 200, 4003),
        (lambda: web.Response(status=500, text="<html>"), 200, 4000),
        (lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/"}), 200, 4000),
        (lambda: web.Response(status=204), 200, 1000),
        (lambda: web.Response(status=200, text="garbage"), 200, 4000),
    ],
)
async def test_what_the_receiver_answers_decides_what_the_caller_gets(
    rig: Exchange, answer: object, http: int, code: int
) -> None:
    """AU-13, AM-12, ST-10, ST-12, D-03."""

    async def script(_: Came) -> web.StreamResponse:
        return answer()  # type: ignore[operator,no-any-return]

    rig.emsp.script = script
    got = await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="DE/MS1", body=SESSION)
    assert (got.http, got.ocpi) == (http, code)
    assert len(rig.emsp.came) == 1


async def test_too_many_requests_come_back_with_retry_after(rig: Exchange) -> None:
    """D-21."""

    async def busy(_: Came) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "7"})

    rig.emsp.script = busy
    got = await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="DE/MS1", body=SESSION)
    assert (got.http, got.headers["retry-after"]) == (429, "7")


async def test_a_silent_receiver_is_4002_and_an_unknown_one_4001(rig: Exchange) -> None:
    """OF-03, OF-04, OF-08: one attempt only."""

    async def sleeps(_: Came) -> web.StreamResponse:
        await asyncio.sleep(4)
        return ocpi()

    rig.emsp.script = sleeps
    silent = await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="DE/MS1", body=SESSION)
    unknown = await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="XX/YYY", body=SESSION)
    lost = await rig.ask(rig.emsp, "POST", "receiver/commands/STOP_SESSION", body={"session_id": "none"})
    lacking = await rig.ask(rig.cpo, "POST", "receiver/commands/STOP_SESSION", to="DE/MS1", body={"session_id": "S1"})

    assert silent.ocpi == 4002
    assert len(rig.emsp.came) == 1
    assert (unknown.ocpi, lost.ocpi, lacking.ocpi) == (4001, 4001, 4000)
    assert unknown.answered_by == HUB


async def test_equal_correlation_ids_get_their_own_answers(rig: Exchange) -> None:
    """Replies are matched by the hub's nonce, never by what a partner chose."""

    async def echoes(came: Came) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return ocpi(data=came.target.rpartition("/")[2])

    rig.emsp.script = rig.cpo.script = echoes
    same = {"X-Correlation-ID": "same", "X-Request-ID": "same"}
    numbers = [f"S{number}" for number in range(30)]
    answers = await asyncio.gather(
        *(rig.ask(rig.cpo, "GET", f"receiver/sessions/NL/CPO/{n}", to="DE/MS1", headers=dict(same)) for n in numbers)
    )
    assert [answer.body["data"] for answer in answers] == numbers


BROKEN: list[tuple[str, dict[str, object], int, int, str]] = [
    ("not JSON", {"raw": b"{"}, 400, 2001, "JSON"),
    ("not UTF-8", {"raw": b'{"id": "\xff\xfe"}'}, 400, 2001, "JSON"),
    ("deeply nested", {"raw": b"[" * 50_000 + b"]" * 50_000}, 400, 2001, "JSON"),
    ("a required field is missing", {"body": {"name": "x"}}, 200, 2001, "$.country_code"),
    ("half a header pair", {"headers": {"OCPI-to-party-id": None}}, 200, 2001, "OCPI-to-party-id"),
    ("a foreign FROM", {"headers": {"OCPI-from-party-id": "XYZ"}}, 200, 2001, "NL/XYZ"),
    ("a party id of four letters", {"headers": {"OCPI-from-party-id": "LONG"}}, 200, 2001, "party-id"),
    ("no such method", {"method": "POST"}, 405, 2000, "POST"),
    ("no such module", {"path": "receiver/pizzas/NL/CPO/L1"}, 404, 2000, "nothing at this URL"),
    ("an unknown token", {"headers": {"Authorization": "Token bm9wZQ=="}}, 401, 2000, "not known"),
    ("no token", {"headers": {"Authorization": None}}, 401, 2000, "missing"),
    ("too large a body", {"raw": b'{"x": "' + b"y" * 200_000 + b'"}'}, 413, 2001, "larger"),
]


@pytest.mark.parametrize(("what", "change", "http", "code", "said"), BROKEN, ids=[case[0] for case in BROKEN])
async def test_bad_input_gets_a_clear_answer_and_nothing_is_forwarded(
    rig: Exchange, what: str, change: dict[str, object], http: int, code: int, said: str
) -> None:
    """ST-01, RT-22, AU-06, AU-14, OB-12, D-30."""
    request: dict[str, object] = {
        "method": "PUT",
        "path": "receiver/locations/NL/CPO/L1",
        "to": HUB,
        "body": {"id": "L1"},
    }
    request |= change
    method, path = str(request.pop("method")), str(request.pop("path"))
    if "raw" in request:
        del request["body"]
    got = await rig.ask(rig.cpo, method, path, **request)  # type: ignore[arg-type]

    assert (got.http, got.ocpi) == (http, code), got.content
    assert said in got.message
    assert "timestamp" in got.body
    assert "x-request-id" in got.headers
    if http == 405:
        assert set(got.headers["allow"].split(", ")) == {"GET", "PUT", "PATCH"}
    assert not any(peer.came for peer in rig.peers)
    rig.reset()
    assert (await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S9", to="DE/MS1", body=SESSION)).ocpi == 1000


async def test_the_relay_dies_and_no_request_is_sent_twice(rig: Exchange) -> None:
    """Commit before call: every caller gets an answer or 4002, and no request reaches its receiver a second time."""

    async def slowly(_: Came) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return ocpi()

    rig.emsp.script = slowly

    async def one(number: int) -> int:
        await asyncio.sleep(number * 0.02)
        path = f"receiver/sessions/NL/CPO/K{number}"
        return (await rig.ask(rig.cpo, "PUT", path, to="DE/MS1", body=SESSION)).ocpi

    calls = [asyncio.create_task(one(number)) for number in range(80)]
    await asyncio.sleep(0.8)
    await rig.end("relay", signal.SIGKILL)
    await rig.start("relay", "worker", "relay")
    codes = await asyncio.gather(*calls)

    assert set(codes) == {1000, 4002}
    targets = [came.target for came in rig.emsp.came]
    assert len(targets) == len(set(targets))

    async def works() -> bool:
        got = await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/again", to="DE/MS1", body=SESSION)
        return got.ocpi == 1000

    await eventually(works, 20)
    seen = len({came.target for came in rig.emsp.came if "/K" in came.target})
    assert seen >= codes.count(1000)


async def test_no_token_stands_in_a_log(rig: Exchange) -> None:
    for name in ("serve", "relay"):
        written = rig.logged(name)
        for peer in rig.peers:
            assert peer.token not in written
            assert f"theirs-{peer.party}" not in written
