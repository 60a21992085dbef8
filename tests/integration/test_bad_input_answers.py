"""A receiver that answers badly, or not at all, is told apart from one that answers; it harms nobody else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.exchange_rig import Exchange, Got, Peer
from tests.integration.hub_rig import add, change, faults, running_exchange
from tests.integration.raw_server import Answering, RawServer, a_raw_server, an_answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

OK = b'{"status_code":1000,"timestamp":"2026-06-02T10:00:00Z"}'


class Scripted:
    """An eMSP that answers byte for byte as a test wants."""

    def __init__(self) -> None:
        self.answer: Answering = self._nothing
        self.peer: Peer
        self.server: RawServer

    async def serve(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        await self.answer(request, writer)

    def says(self, *parts: bytes, ends: bool = False) -> None:
        """Write these bytes to each request, and perhaps end the connection."""

        async def write(_: bytes, writer: asyncio.StreamWriter) -> None:
            for part in parts:
                writer.write(part)
                await writer.drain()
            if ends:
                writer.close()

        self.answer = write

    async def _nothing(self, _: bytes, __: asyncio.StreamWriter) -> None:
        """Let the other side wait."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Exchange, Scripted]]:
    folder = tmp_path_factory.mktemp("answers")
    settings: dict[str, Any] = {"HUB_SINGLE_SECONDS": "1", "HUB_PUSH_SECONDS": "1", "HUB_LIST_SECONDS": "10"}
    async with running_exchange(postgres_url, migrated_template, kafka_bootstrap, folder, **settings) as rig:
        scripted = Scripted()
        async with a_raw_server(scripted.serve) as scripted.server:
            scripted.peer = await add(rig, "BE/RAW", "EMSP", scripted.server.url)
            yield rig, scripted
        assert not faults(rig, "serve", "relay")


@pytest_asyncio.fixture(loop_scope="module")
async def rig(running: tuple[Exchange, Scripted]) -> AsyncIterator[Exchange]:
    """The running parts; behind each test others are served as before."""
    exchange = running[0]
    exchange.reset()
    running[1].server.requests.clear()
    yield exchange
    good = await exchange.ask(exchange.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="DE/MS1", body={"id": "S1"})
    assert (good.http, good.ocpi) == (200, 1000)


@pytest.fixture
def receiver(running: tuple[Exchange, Scripted]) -> Scripted:
    """The eMSP BE/RAW."""
    return running[1]


async def _push(rig: Exchange) -> Got:
    return await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="BE/RAW", body={"id": "S1"})


GARBAGE: list[tuple[str, tuple[bytes, ...], bool, int]] = [
    ("no HTTP at all", (b"\x00\x01\x02 hello\r\n\r\n",), True, 4002),
    ("nothing, and the connection ends", (), True, 4002),
    ("nothing at all", (), False, 4002),
    ("half a head", (b"HTTP/1.1 200 OK\r\nContent-Type: app",), True, 4002),
    ("half a body", (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + OK,), True, 4002),
    ("a body that does not come", (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",), False, 4002),
    ("a status that is none", (b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",), True, 4002),
    ("JSON that is no answer", (an_answer(b'{"status_code": true}'),), False, 4000),
    ("a code of five digits", (an_answer(b'{"status_code": 10000}'),), False, 4000),
    ("JSON that ends early", (an_answer(b'{"status_code": 1000'),), False, 4000),
    ("JSON that is not UTF-8", (an_answer(b'{"a": "\xff", "status_code": 1000}'),), False, 4000),
    ("JSON nested without end", (an_answer(b"[" * 200_000),), False, 4000),
    ("a page of HTML", (an_answer(b"<html>Bad gateway</html>", "502 Bad Gateway"),), False, 4000),
    ("a proxy that wants a password", (an_answer(OK, "407 Proxy"),), False, 4000),
    ("a redirect", (an_answer(OK, "307 Elsewhere", ["Location: http://169.254.169.254/"]),), False, 4000),
    ("a lie about compression", (an_answer(OK, headers=["Content-Encoding: gzip"]),), False, 4002),
    ("a head of 100 kB", (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",), True, 4002),
]


@pytest.mark.parametrize(("what", "parts", "ends", "code"), GARBAGE, ids=[case[0] for case in GARBAGE])
async def test_garbage_becomes_a_code_of_the_hub(
    rig: Exchange, receiver: Scripted, what: str, parts: tuple[bytes, ...], ends: bool, code: int
) -> None:
    """AM-12, OF-04, OF-08: called once, answered by the hub."""
    receiver.says(*parts, ends=ends)
    got = await _push(rig)
    assert (got.http, got.ocpi) == (200, code), got.content
    assert got.answered_by == "NL/HUB"
    assert len(receiver.server.requests) == 1


async def test_headers_without_end_cost_the_deadline_at_most(rig: Exchange, receiver: Scripted) -> None:
    async def for_ever(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"X-More: " + b"m" * 100 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)

    receiver.answer = for_ever
    assert (await _push(rig)).ocpi == 4002


async def test_an_answer_of_20_mb_is_4000_and_not_held(rig: Exchange, receiver: Scripted) -> None:
    receiver.says(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n", *(b"x" * 1_000_000 for _ in range(20)))
    assert (await _push(rig)).ocpi == 4000


async def test_a_large_page_passes_and_a_large_single_answer_is_4000(rig: Exchange, receiver: Scripted) -> None:
    """Answers to one question are bounded by the log's records, pages by larger ones of their own topic."""
    large = b'{"data":["' + b"x" * 10_000_000 + b'"],"status_code":1000}'
    receiver.says(an_answer(large))
    page = await rig.ask(rig.cpo, "GET", "sender/tokens", to="BE/RAW")
    assert (page.http, len(page.content)) == (200, len(large))
    single = await rig.ask(rig.cpo, "GET", "receiver/sessions/NL/CPO/S1", to="BE/RAW")
    assert (single.http, single.ocpi) == (200, 4000)


async def test_header_bytes_of_any_kind_do_not_lose_the_answer(rig: Exchange, receiver: Scripted) -> None:
    strange = (
        b"HTTP/1.1 200 OK\r\nX-Limit: \xff\xe9\r\nX-Total-Count: \xe2\x82\xac\r\nContent-Length: %d\r\n\r\n" % len(OK)
    )
    receiver.says(strange + OK)
    got = await rig.ask(rig.cpo, "GET", "sender/tokens", to="BE/RAW")
    assert got.content == OK
    assert got.headers["x-limit"] == "\xff\xe9"
    assert got.headers["x-total-count"] == "\u20ac"


@pytest.mark.parametrize("link", ["<http://[>", "<https://elsewhere.example/p2>", "<//169.254.169.254/>", "<?a b>"])
async def test_a_link_that_cannot_be_followed_is_not_passed_on(rig: Exchange, receiver: Scripted, link: str) -> None:
    """PG-09, TP-02, CB-15."""
    receiver.says(an_answer(OK, headers=[f'Link: {link}; rel="next"']))
    got = await rig.ask(rig.cpo, "GET", "sender/tokens", to="BE/RAW")
    assert (got.http, got.ocpi) == (200, 4000)
    assert "link" not in got.headers


@pytest.mark.parametrize("location", ["http://[", "https://elsewhere.example/c", "\xff", "x" * 3000, ""])
async def test_a_cdr_is_delivered_whatever_its_location_says(rig: Exchange, receiver: Scripted, location: str) -> None:
    """D-19: the hub's own Location is given; it leads to 404 where the receiver's leads nowhere."""
    receiver.says(an_answer(OK, headers=[f"Location: {location}"]))
    got = await rig.ask(rig.cpo, "POST", "receiver/cdrs", to="BE/RAW", body={"id": "C1"})
    assert (got.http, got.ocpi) == (200, 1000)
    back = await rig.ask(rig.cpo, "GET", got.headers["location"], to="BE/RAW")
    assert (back.http, back.ocpi) in {(404, 2003), (200, 1000)}


async def test_a_receiver_that_does_not_listen_is_4003(rig: Exchange) -> None:
    """OF-05."""
    await add(rig, "BE/OFF", "EMSP", "http://127.0.0.1:9")
    got = await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to="BE/OFF", body={"id": "S1"})
    assert (got.http, got.ocpi, got.answered_by) == (200, 4003, "NL/HUB")


@pytest.mark.parametrize("column", ["status = 'suspended'", "status = 'unregistered'", "is_online = false"])
async def test_a_party_that_is_not_connected_is_not_called(rig: Exchange, receiver: Scripted, column: str) -> None:
    """OF-05, OF-06, AM-28."""
    receiver.says(an_answer(OK))
    where = f" where platform_id = '{receiver.peer.platform_id}'"
    await change(rig, f"update platform set {column}{where}")
    got = await _push(rig)
    await change(rig, f"update platform set status = 'connected', is_online = true{where}")
    assert (got.http, got.ocpi) == (200, 4003)
    assert not receiver.server.requests
    assert (await _push(rig)).ocpi == 1000
