"""The client of partners against servers that do everything wrong, on real sockets."""

import asyncio
import contextlib
import gzip
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_network

import pytest

from hub.errors import AddressRefused, AnswerTooLarge, PartnerSilent, PartnerUnreachable
from hub.partners.client import Answer, PartnerClient
from hub.partners.guard import AddressGuard
from infra.dev.ports import choose
from tests.integration.raw_server import a_raw_server, always, an_answer

LIMIT = 64 * 1024
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
async def client() -> AsyncIterator[PartnerClient]:
    made = _client()
    yield made
    await made.close()


@pytest.fixture
async def guarded() -> AsyncIterator[PartnerClient]:
    """A client for the public internet only."""
    made = PartnerClient(AddressGuard(()), largest_answer_bytes=LIMIT, connections_per_host=4)
    yield made
    await made.close()


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the name partner.test resolves to."""

    def resolve(*addresses: str) -> None:
        def answers(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
            assert host == "partner.test"
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, port)) for each in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", answers)

    return resolve


def _client(*, per_host: int = 4) -> PartnerClient:
    return PartnerClient(AddressGuard(LOOPBACK), largest_answer_bytes=LIMIT, connections_per_host=per_host)


async def _get(client: PartnerClient, url: str, timeout: float = 5) -> Answer:
    return await client.send("GET", url, {}, None, timeout)


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0"])
async def test_a_name_or_odd_number_that_means_this_machine_is_refused_at_connect(
    guarded: PartnerClient, host: str
) -> None:
    async with a_raw_server(always(an_answer())) as server:
        with pytest.raises(AddressRefused):
            await _get(guarded, f"http://{host}:{server.port}/")

    assert server.connections == 0


async def test_tls_does_not_make_a_private_address_allowed(guarded: PartnerClient) -> None:
    async with a_raw_server(always(an_answer())) as server:
        with pytest.raises(AddressRefused):
            await _get(guarded, f"https://localhost:{server.port}/")

    assert server.connections == 0


async def test_of_a_host_with_two_addresses_the_allowed_one_is_called(
    client: PartnerClient, name_server: Callable[..., None]
) -> None:
    name_server("10.255.255.1", "127.0.0.1")
    async with a_raw_server(always(an_answer())) as server:
        answer = await _get(client, f"http://partner.test:{server.port}/")

    assert answer.http_status == 200


async def test_a_host_of_which_all_addresses_are_refused_is_refused(
    client: PartnerClient, name_server: Callable[..., None]
) -> None:
    name_server("10.255.255.1", "169.254.169.254", "93.184.216.34")

    with pytest.raises(AddressRefused):
        await _get(client, "http://partner.test/")


async def test_a_name_that_changes_its_address_after_the_check_is_judged_again(
    client: PartnerClient, name_server: Callable[..., None]
) -> None:
    name_server("127.0.0.1")
    async with a_raw_server(always(an_answer(headers=["Connection: close"]))) as server:
        await _get(client, f"http://partner.test:{server.port}/")
        name_server("169.254.169.254")
        fresh = _client()
        with pytest.raises(AddressRefused):
            await _get(fresh, f"http://partner.test:{server.port}/")
        await fresh.close()


async def test_a_name_that_does_not_resolve_is_unreachable(client: PartnerClient) -> None:
    with pytest.raises(PartnerUnreachable, match="resolved"):
        await _get(client, "http://no-such-host.invalid/")


async def test_nobody_listening_is_unreachable(client: PartnerClient) -> None:
    (port,) = choose("127.0.0.1", 1)

    with pytest.raises(PartnerUnreachable):
        await _get(client, f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb",
        "/a//b/",
        "/a/../b/./c",
        "/NL*ENE*1",
        "/tokens/%C3%A9?type=APP_USER",
        "/x?date_from=2026-01-01T00:00:00Z&a=%20&b=+",
        "/x?tenant=1&tenant=2",
        "/%7Euser/~user",
        "/a%2fb%2Fc",
        "/;v=1/(x)!'",
    ],
)
async def test_the_path_and_query_leave_byte_for_byte_as_given(client: PartnerClient, target: str) -> None:
    async with a_raw_server(always(an_answer())) as server:
        await _get(client, server.url + target)

    assert server.targets == [target]


async def test_a_redirect_is_an_answer_and_is_not_followed(client: PartnerClient) -> None:
    async with (
        a_raw_server(always(an_answer())) as elsewhere,
        a_raw_server(always(an_answer(status="302 Found", headers=[f"Location: {elsewhere.url}/"]))) as server,
    ):
        answer = await client.send("GET", server.url, {"Authorization": "Token dG9rZW4="}, None, 5)

    assert answer.http_status == 302
    assert answer.headers["location"] == f"{elsewhere.url}/"
    assert elsewhere.connections == 0


async def test_cookies_are_not_kept(client: PartnerClient) -> None:
    async with a_raw_server(always(an_answer(headers=["Set-Cookie: tracked=1; Path=/"]))) as server:
        await _get(client, server.url)
        await _get(client, server.url)

    assert all(b"cookie" not in request.lower() for request in server.requests)


async def test_the_body_leaves_as_given_and_nothing_is_added_to_the_headers(client: PartnerClient) -> None:
    body = b'{"price": 0.60, "name": "\xc3\xa9"}'
    async with a_raw_server(always(an_answer())) as server:
        await client.send("PUT", server.url + "/x", {"Content-Type": "application/json"}, body, 5)
        await client.send("GET", server.url + "/x", {}, None, 5)

    assert server.requests[0].endswith(b"\r\n\r\n" + body)
    names = {line.split(b":")[0].lower() for line in server.requests[0].split(b"\r\n\r\n")[0].split(b"\r\n")[1:]}
    assert names == {b"host", b"accept", b"accept-encoding", b"content-type", b"content-length"}
    assert b"content-type" not in server.requests[1].lower()


async def test_of_a_repeated_answer_header_the_first_counts(client: PartnerClient) -> None:
    async with a_raw_server(always(an_answer(headers=["X-Limit: 10", "x-limit: 20"]))) as server:
        assert (await _get(client, server.url)).headers["x-limit"] == "10"


async def test_an_answer_over_the_limit_is_cut_off_while_reading(client: PartnerClient) -> None:
    async def pour(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
            await writer.drain()

    async with a_raw_server(pour) as server:
        with pytest.raises(AnswerTooLarge):
            await _get(client, server.url)


async def test_an_answer_of_exactly_the_limit_is_read(client: PartnerClient) -> None:
    async with a_raw_server(always(an_answer(b" " * LIMIT))) as server:
        assert len((await _get(client, server.url)).body) == LIMIT


async def test_a_compressed_answer_is_counted_after_decompression(client: PartnerClient, traced: None) -> None:
    bomb = gzip.compress(b" " * (64 * 2**20))
    tracemalloc.reset_peak()
    async with a_raw_server(always(an_answer(bomb, headers=["Content-Encoding: gzip"]))) as server:
        with pytest.raises(AnswerTooLarge):
            await _get(client, server.url)

    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20


async def test_a_compressed_answer_within_the_limit_is_read(client: PartnerClient) -> None:
    packed = gzip.compress(b'{"status_code": 1000}')
    async with a_raw_server(always(an_answer(packed, headers=["Content-Encoding: gzip"]))) as server:
        assert (await _get(client, server.url)).body == b'{"status_code": 1000}'


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH"])
async def test_a_request_on_a_connection_that_its_server_drops_is_not_repeated(
    client: PartnerClient, method: str
) -> None:
    answers = 0

    async def once(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        answers += 1
        if answers == 1:
            writer.write(an_answer())
        else:
            writer.close()

    async with a_raw_server(once) as server:
        await _get(client, server.url)
        with pytest.raises(PartnerSilent):
            await client.send(method, server.url, {}, b"{}" if method != "GET" else None, 5)

    assert (len(server.requests), server.connections) == (2, 1)


async def test_a_connection_closed_while_idle_is_not_used_again(client: PartnerClient) -> None:
    async with a_raw_server(always(an_answer(headers=["Connection: close"]))) as server:
        await _get(client, server.url)
        await _get(client, server.url)

    assert server.connections == 2


async def test_no_answer_in_time_is_silence(client: PartnerClient) -> None:
    async def hang(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with a_raw_server(hang) as server:
        started = time.monotonic()
        with pytest.raises(PartnerSilent, match="no answer within"):
            await _get(client, server.url, timeout=0.3)

    assert time.monotonic() - started < 2


async def test_an_answer_that_never_ends_is_silence(client: PartnerClient) -> None:
    async def dribble(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        await asyncio.Event().wait()

    async with a_raw_server(dribble) as server:
        with pytest.raises(PartnerSilent):
            await _get(client, server.url, timeout=0.3)


async def test_a_connection_that_is_never_accepted_is_unreachable(client: PartnerClient) -> None:
    """A full backlog: the kernel takes no further connection, so nothing can have been sent."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        host, port = listening.getsockname()
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex((host, port))
        with pytest.raises(PartnerUnreachable, match="in time"):
            await _get(client, f"http://{host}:{port}/", timeout=0.3)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "short", "half a chunk", "another protocol", "no status", "no length", "no gzip", "huge header"],
)
async def test_a_broken_answer_is_silence_since_the_partner_may_have_acted(
    client: PartnerClient, answer: bytes
) -> None:
    async def write_and_close(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with a_raw_server(write_and_close) as server:
        with pytest.raises(PartnerSilent):
            await client.send("POST", server.url, {}, b"{}", 5)

    assert len(server.requests) == 1


async def test_many_requests_share_a_bounded_number_of_connections() -> None:
    client = _client(per_host=3)
    async with a_raw_server(always(an_answer())) as server:
        answers = await asyncio.gather(*(_get(client, f"{server.url}/{number}") for number in range(60)))
        await client.close()

    assert [answer.http_status for answer in answers] == [200] * 60
    assert server.connections <= 3
    assert sorted(server.targets) == sorted(f"/{number}" for number in range(60))


async def test_waiting_for_a_connection_beyond_the_time_given_sends_nothing() -> None:
    client = _client(per_host=1)
    started = asyncio.Event()

    async def hang(_: bytes, __: asyncio.StreamWriter) -> None:
        started.set()
        await asyncio.Event().wait()

    async with a_raw_server(hang) as server:
        first = asyncio.create_task(_get(client, f"{server.url}/first", timeout=1))
        await started.wait()
        with pytest.raises(PartnerUnreachable):
            await _get(client, f"{server.url}/second", timeout=0.2)
        with pytest.raises(PartnerSilent):
            await first
        await client.close()

    assert server.targets == ["/first"]
