"""Whatever comes in gets a clear answer, reaches nobody, and harms nobody else."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from hub.messaging.topics import PUSHES, REQUESTS
from tests.integration.exchange_rig import HUB, Exchange
from tests.integration.hub_rig import Log, RawAnswer, a_log, faults, hang_up, running_exchange, speak
from tests.integration.partner_rig import a_location, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 100_000
LOCATION = a_location(country_code="NL", party_id="CPO", id="L1")
PATH = "receiver/locations/NL/CPO/L1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    folder = tmp_path_factory.mktemp("bad-input")
    settings: dict[str, Any] = {
        "HUB_SINGLE_SECONDS": "2",
        "HUB_PUSH_SECONDS": "2",
        "HUB_LARGEST_BODY_BYTES": str(LIMIT),
    }
    async with running_exchange(postgres_url, migrated_template, kafka_bootstrap, folder, **settings) as rig:
        pids = {name: process.pid for name, process in rig.processes.items()}
        yield rig
        assert {name: process.pid for name, process in rig.processes.items() if process.returncode is None} == pids
        assert not faults(rig, "serve", "relay")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def log(running: Exchange) -> AsyncIterator[Log]:
    async with a_log(running) as log:
        yield log


@pytest_asyncio.fixture(loop_scope="module")
async def rig(forwarding: Exchange, log: Log) -> AsyncIterator[Exchange]:
    """As `forwarding`, and behind each test nothing lies in the log either."""
    before = await log.length(REQUESTS, PUSHES)
    yield forwarding
    assert await log.length(REQUESTS, PUSHES) == before


@pytest_asyncio.fixture(loop_scope="module")
async def forwarding(running: Exchange) -> AsyncIterator[Exchange]:
    """The running parts. Behind each test nothing has reached anybody, and a good request works."""
    running.reset()
    yield running
    assert not [came for peer in running.peers for came in peer.came]
    good = await running.ask(running.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="DE/MS1", body={"id": "S1"})
    assert (good.http, good.ocpi, len(running.emsp.came)) == (200, 1000, 1)


def _without(name: str) -> dict[str, Any]:
    return {key: content for key, content in LOCATION.items() if key != name}


CONTENTS: list[tuple[str, dict[str, Any], int, str]] = [
    ("a required field is missing", {"body": _without("address")}, 200, "$.address"),
    ("a required field is null", {"body": LOCATION | {"address": None}}, 200, "$.address"),
    ("a field of a wrong type", {"body": LOCATION | {"publish": "yes"}}, 200, "$.publish"),
    ("deep inside", {"body": LOCATION | {"evses": [{"uid": "E1"}]}}, 200, "$.evses[0]."),
    ("the owner in the body differs", {"body": LOCATION | {"party_id": "XYZ"}}, 200, "$.party_id"),
    ("the id in the body differs", {"body": LOCATION | {"id": "L2"}}, 200, "$.id"),
    ("the owner in the URL is foreign", {"path": "receiver/locations/DE/MS1/L1", "body": LOCATION}, 200, "DE/MS1"),
    ("an escaped NUL", {"body": LOCATION | {"name": "a\0b"}}, 200, "$.name"),
    ("a list instead of an object", {"body": [LOCATION]}, 200, "$: expected the object Location"),
    ("a PATCH without last_updated", {"method": "PATCH", "body": {"name": "x"}}, 200, "$.last_updated"),
    ("no body", {}, 400, "JSON"),
    ("blanks only", {"raw": b" \n "}, 400, "JSON"),
    ("half a surrogate pair", {"raw": b'{"id": "\\ud800"}'}, 400, "JSON"),
    ("a number that no machine holds", {"raw": b'{"id": 1e999}'}, 400, "JSON"),
    ("a number of 5000 digits", {"raw": b'{"id": ' + b"9" * 5000 + b"}"}, 400, "JSON"),
    ("NaN", {"raw": b'{"id": NaN}'}, 400, "JSON"),
    ("a byte order mark", {"raw": b"\xef\xbb\xbf{}"}, 400, "JSON"),
    ("compressed", {"raw": b"\x1f\x8b\x08\x00", "headers": {"Content-Encoding": "gzip"}}, 400, "JSON"),
    ("half of TO", {"body": LOCATION, "headers": {"OCPI-to-country-code": None}}, 200, "OCPI-to-party-id"),
    ("half of FROM", {"body": LOCATION, "headers": {"OCPI-from-party-id": None}}, 200, "OCPI-from-country-code"),
    ("a TO of four letters", {"body": LOCATION, "to": "NL/LONG"}, 200, "OCPI-to-party-id"),
]


@pytest.mark.parametrize(("what", "given", "http", "said"), CONTENTS, ids=[case[0] for case in CONTENTS])
async def test_broken_content_is_2001_and_says_where(
    rig: Exchange, what: str, given: dict[str, Any], http: int, said: str
) -> None:
    """ST-01, OB-03, OB-07, OB-08, RT-02, RT-22, D-30."""
    asked = {"method": "PUT", "path": PATH, "to": HUB} | given
    got = await rig.ask(rig.cpo, asked.pop("method"), asked.pop("path"), **asked)
    assert (got.http, got.ocpi) == (http, 2001), got.content
    assert said in got.message


CLIMBING = [
    "sender/locations/../../credentials",
    "sender/locations/%2e%2e/%2E%2e/credentials",
    "sender/locations/..%2f..%2fcredentials",
    "sender/locations/..%5c..%5ccredentials",
    "sender/locations/..;x/..;/credentials",
    "sender/locations/%252e%252e/x",
    "sender/locations/./x",
    "receiver/locations/NL/CPO/../..",
    "sender/locations/a%00b",
    "sender/locations/a%0d%0ab",
]


@pytest.mark.parametrize("path", [*CLIMBING, "sender/pizzas/1", "side/locations", "sender/locations/1/2/3/4"])
async def test_a_path_that_leads_nowhere_or_elsewhere_is_404(rig: Exchange, path: str) -> None:
    """A path that a server could resolve to another endpoint would be called there with the hub's own token."""
    got = await rig.ask(rig.emsp, "GET", path, to="NL/CPO")
    assert (got.http, got.ocpi) == (404, 2000), got.content


@pytest.mark.parametrize("version", ["2.1.1", "2.3.0", "9.9", "%00", ".."])
async def test_a_version_that_is_not_offered_is_404(rig: Exchange, version: str) -> None:
    got = await rig.ask(rig.emsp, "GET", f"{rig.url}/ocpi/{version}/sender/locations/L1", to="NL/CPO")
    assert (got.http, got.ocpi) == (404, 2000)


@pytest.mark.parametrize(
    ("method", "path", "offered"),
    [
        ("POST", PATH, {"GET", "PUT", "PATCH"}),
        ("DELETE", PATH, {"GET", "PUT", "PATCH"}),
        ("PATCH", "receiver/tariffs/NL/CPO/T1", {"GET", "PUT", "DELETE"}),
        ("OPTIONS", "sender/locations", {"GET"}),
        ("TRACE", "receiver/cdrs", {"POST"}),
    ],
)
async def test_a_method_that_is_not_offered_is_405_with_what_is(
    rig: Exchange, method: str, path: str, offered: set[str]
) -> None:
    """OB-11, OB-12."""
    got = await rig.ask(rig.cpo, method, path, to="DE/MS1")
    assert (got.http, got.ocpi) == (405, 2000)
    assert set(got.headers["allow"].split(", ")) == offered


async def test_head_is_405_without_a_body(rig: Exchange) -> None:
    got = await rig.ask(rig.cpo, "HEAD", "sender/locations", to="DE/MS1")
    assert (got.http, got.content, got.headers["allow"]) == (405, b"", "GET")


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        "Token",
        "Token ",
        "Bearer x",
        "Token bm9wZQ==",
        "Token " + "x" * 8000,
        "Token \u00e9\u20ac",
        "Basic " + base64.b64encode(b"a:b").decode(),
    ],
)
async def test_who_is_not_known_is_401(rig: Exchange, shown: str | None) -> None:
    """AU-06."""
    got = await rig.ask(rig.cpo, "PUT", PATH, to=HUB, body=LOCATION, headers={"Authorization": shown})
    assert (got.http, got.ocpi) == (401, 2000)


async def test_token_a_opens_no_functional_module(rig: Exchange) -> None:
    """AU-07."""
    change = "update inbound_token set kind = $1 where platform_id = $2"
    connection = await asyncpg.connect(rig.database_url)
    for kind, http in (("registration", 401), ("access", 200)):
        await connection.execute(change, kind, rig.other.platform_id)
        await connection.execute("update directory_version set version = version + 1")
        await connection.execute("select pg_notify('directory', '0')")

        async def answers(http: int = http) -> bool:
            return (await rig.ask(rig.other, "GET", "sender/locations", to=HUB)).http == http

        await eventually(answers)
    await connection.close()


async def test_a_party_of_another_platform_cannot_be_used(rig: Exchange) -> None:
    """AU-14, D-09: 200 + 2001, by whatever way it would go."""
    for path in (PATH, "receiver/sessions/NL/CPO/S1", "receiver/cdrs"):
        method = "POST" if path.endswith("cdrs") else "PUT"
        foreign = {"OCPI-from-country-code": "DE", "OCPI-from-party-id": "MS1"}
        got = await rig.ask(rig.cpo, method, path, to="FR/MS2", body=LOCATION, headers=dict(foreign))
        assert (got.http, got.ocpi) == (200, 2001)
        assert "DE/MS1" in got.message
        assert got.headers.get("ocpi-to-party-id") is None


@pytest.mark.parametrize("size", [LIMIT + 1, 1_000_000])
async def test_a_body_over_the_limit_is_413(rig: Exchange, size: int) -> None:
    got = await rig.ask(rig.cpo, "PUT", PATH, to=HUB, raw=b"x" * size)
    assert (got.http, got.ocpi) == (413, 2001)
    assert str(LIMIT) in got.message


def _head(rig: Exchange, *lines: str, method: str = "PUT", path: str = PATH, to: str = "DE/MS1") -> bytes:
    country_code, party_id = to.split("/")
    given = (
        f"{method} /ocpi/2.2.1/{path} HTTP/1.1",
        "Host: hub",
        "Authorization: Token " + base64.b64encode(rig.cpo.token.encode()).decode(),
        "OCPI-from-country-code: NL",
        "OCPI-from-party-id: CPO",
        f"OCPI-to-country-code: {country_code}",
        f"OCPI-to-party-id: {party_id}",
        *lines,
        "",
        "",
    )
    return "\r\n".join(given).encode("latin-1")


def _both(answer: RawAnswer) -> tuple[int, int]:
    return answer.status, json.loads(answer.body)["status_code"]


async def test_a_chunked_body_over_the_limit_is_413(rig: Exchange) -> None:
    chunk = b"%x\r\n%s\r\n" % (50_000, b"y" * 50_000)
    got = await speak(rig, _head(rig, "Transfer-Encoding: chunked"), chunk * 3 + b"0\r\n\r\n")
    assert _both(got) == (413, 2001)
    assert got.headers["connection"] == "close"


async def test_an_announced_size_is_refused_before_the_body_is_sent(rig: Exchange) -> None:
    got = await speak(rig, _head(rig, "Content-Length: 999999999999", "Expect: 100-continue"))
    assert _both(got) == (413, 2001)


BROKEN_HTTP: list[tuple[str, tuple[str, ...], bytes]] = [
    ("both a length and chunks", ("Content-Length: 2", "Transfer-Encoding: chunked"), b"0\r\n\r\n"),
    ("two lengths", ("Content-Length: 2", "Content-Length: 3"), b"{}"),
    ("a length below nothing", ("Content-Length: -1",), b"{}"),
    ("a length that is no number", ("Content-Length: 2x",), b"{}"),
    ("chunked not last", ("Transfer-Encoding: chunked, gzip",), b"0\r\n\r\n"),
    ("a chunk without a size", ("Transfer-Encoding: chunked",), b"zz\r\n{}\r\n"),
    ("a header without a name", (": x",), b""),
    ("a control character in a header", ("X-Thing: a\x01b",), b""),
    ("a blank before the colon", ("Content-Length : 2",), b"{}"),
    ("a raw byte in the path", ("X: y",), b""),
]


@pytest.mark.parametrize(("what", "lines", "body"), BROKEN_HTTP, ids=[case[0] for case in BROKEN_HTTP])
async def test_broken_http_is_400_and_ends_the_connection(
    rig: Exchange, what: str, lines: tuple[str, ...], body: bytes
) -> None:
    path = "sender/locations/caf\u00e9" if "raw byte" in what else PATH
    got = await speak(rig, _head(rig, *lines, path=path) + body)
    assert got.status == 400
    assert got.headers["connection"] == "close"


async def test_a_head_without_end_is_cut_off(rig: Exchange) -> None:
    start = _head(rig).removesuffix(b"\r\n\r\n")
    for more in (b"\r\nX-Long: " + b"a" * 300_000, b"\r\nX-Many: b" * 20_000):
        got = await speak(rig, start, *(more[place : place + 16_384] for place in range(0, len(more), 16_384)))
        assert got.status in {0, 400}


async def test_a_body_cut_short_is_no_request(rig: Exchange) -> None:
    """An authorize without a body is one; what is left of a longer body must not be taken for it."""
    head = _head(rig, "Content-Length: 300", method="POST", path="sender/tokens/U1/authorize")
    await hang_up(rig, head)
    await hang_up(rig, head + b'{"location_id": "L1"')
    chunked = _head(rig, "Transfer-Encoding: chunked", method="POST", path="sender/tokens/U1/authorize")
    await hang_up(rig, chunked + b"2\r\n{}\r\n")


@pytest.mark.parametrize("expiry", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "yesterday", 17, None])
async def test_an_odd_response_url_or_expiry_is_no_fault_of_the_hub(forwarding: Exchange, expiry: Any) -> None:
    body: dict[str, Any] = {"reservation_id": "R\0", "location_id": "L1", "expiry_date": expiry}
    for url in (
        "http://[",
        f"{forwarding.emsp.url}/\0",
        f"{forwarding.emsp.url}/" + "x" * 3000,
        f"{forwarding.emsp.url}/a b",
        7,
        ["x"],
    ):
        got = await forwarding.ask(
            forwarding.emsp, "POST", "receiver/commands/RESERVE_NOW", to="NL/CPO", body=body | {"response_url": url}
        )
        assert (got.http, got.ocpi) == (200, 2001), got.content
        assert "response_url" in got.message
    forwarding.reset()


@pytest.mark.parametrize("key", ["x" * 5000, "\0", "\ud7ff\uffff", "'; drop table route; --"])
async def test_an_odd_key_of_open_routing_finds_nobody(forwarding: Exchange, key: str) -> None:
    for body in ({"location_id": key}, {"location_id": [key]}, {"location_id": 5}, {}):
        got = await forwarding.ask(forwarding.emsp, "POST", "receiver/commands/START_SESSION", body=body)
        assert got.http == 200
        assert got.ocpi in {2001, 4001}
    got = await forwarding.ask(forwarding.cpo, "POST", "sender/tokens/" + "y" * 4000 + "/authorize?type=%00")
    assert (got.http, got.ocpi) == (200, 2001)


async def test_bodies_that_are_only_odd_are_carried_as_they_are(running: Exchange) -> None:
    """D-30: what a receiver may judge is not the hub's to refuse."""
    running.reset()
    odd = [b'{"a":1,"a":2}', b'{"n":123456789012345678901234567890}', b"[]", b'"x"', b'{"\\u0000":"\\u0000"}', b"17 "]
    for body in odd:
        got = await running.ask(running.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="DE/MS1", raw=body)
        assert got.ocpi == 1000
    assert [came.body for came in running.emsp.came] == odd


async def test_a_get_brings_no_body(running: Exchange) -> None:
    running.reset()
    got = await running.ask(running.emsp, "GET", "sender/locations/L1", to="NL/CPO", raw=b"\xff{")
    assert got.ocpi == 1000
    assert running.cpo.came[0].body == b""


async def test_headers_of_any_script_and_size_are_carried_or_left_out(running: Exchange) -> None:
    """ID-01, ID-02, AM-10: an id is echoed as UTF-8, one too long to carry is replaced."""
    running.reset()
    strange = "\u00e9\u20ac\U0001f50c " + uuid.uuid4().hex
    ids = {"X-Correlation-ID": strange, "X-Request-ID": "r" * 8000, "X-Whatever": "w" * 8000, "Cookie": "c" * 8000}
    got = await running.ask(running.emsp, "GET", "sender/locations/L1", to="NL/CPO", headers=dict(ids))
    assert got.ocpi == 1000
    assert got.headers["x-correlation-id"] == strange
    assert len(got.headers["x-request-id"]) == 36
    assert running.cpo.came[0].headers["x-correlation-id"] == strange
    for kind in (b"X-Correlation-ID: \xff\xfe", b"OCPI-from-party-id: \xff"):
        head = _head(running, method="GET", path="sender/locations/L1").removesuffix(b"\r\n") + kind + b"\r\n\r\n"
        assert (await speak(running, head)).status in {200, 400}


async def test_a_long_path_is_carried_and_a_very_long_one_refused(running: Exchange) -> None:
    running.reset()
    got = await running.ask(running.emsp, "GET", "sender/locations/" + "L" * 1500, to="NL/CPO")
    assert got.ocpi == 1000
    assert len(running.cpo.came[0].target) > 1500
    for letters in (3000, 30_000):
        got = await running.ask(running.emsp, "GET", "sender/locations/" + "L" * letters, to="NL/CPO")
        assert (got.http, got.ocpi) == (200, 4000)
    assert len(running.cpo.came) == 1


async def test_many_bad_and_good_requests_at_once(running: Exchange) -> None:
    running.reset()
    bad = [running.ask(running.cpo, "PUT", PATH, to=HUB, raw=b"{" * n) for n in range(30)]
    good = [
        running.ask(running.cpo, "PUT", f"receiver/sessions/NL/CPO/M{n}", to="DE/MS1", body={"n": n}) for n in range(30)
    ]
    answers = await asyncio.gather(*bad, *good)
    assert [answer.http for answer in answers] == [400] * 30 + [200] * 30
    assert len({came.target for came in running.emsp.came}) == 30
