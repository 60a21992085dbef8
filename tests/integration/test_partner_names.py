"""Host names of partners whose name servers are silent, in trouble or many: they hold up nobody else (`isolation`, CB-15)."""

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from hub.errors import PartnerUnreachable
from hub.partners.client import PartnerClient
from hub.partners.guard import AddressGuard
from hub.partners.resolver import PartnerResolver
from tests.integration.raw_server import a_raw_server, always, an_answer

_PATIENCE = 0.05


class NameServer:
    """What the system's look-up does: names that begin with `silent` get no answer until the test ends."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.trouble: Exception | None = None
        self.is_silent = False
        self.asked = 0

    def answers(self, host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        """Stand in for `socket.getaddrinfo`."""
        self.asked += 1
        if self.is_silent or host.startswith("silent"):
            self.released.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "silent")
        if self.trouble is not None:
            raise self.trouble
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    made = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", made.answers)
    yield made
    made.released.set()


async def _found(resolver: PartnerResolver, host: str = "partner.test") -> list[str]:
    return [entry["host"] for entry in await resolver.resolve(host, 443)]


@contextlib.asynccontextmanager
async def _waiting(resolver: PartnerResolver, *hosts: str) -> Any:
    tasks = [asyncio.create_task(resolver.resolve(host, 443)) for host in hosts]
    await asyncio.sleep(0)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_many_silent_name_servers_hold_up_no_other_partner(names: NameServer) -> None:
    client = PartnerClient(
        AddressGuard((ip_network("127.0.0.0/8"),)), largest_answer_bytes=1000, connections_per_host=4
    )
    async with a_raw_server(always(an_answer())) as server:
        silent = [
            asyncio.create_task(client.send("GET", f"http://silent{number}.test:{server.port}/", {}, None, 3))
            for number in range(40)
        ]
        await asyncio.sleep(0)
        answer = await client.send("GET", f"http://partner.test:{server.port}/", {}, None, 2)
        was_waiting = [not task.done() for task in silent]
        names.released.set()
        failed = await asyncio.gather(*silent, return_exceptions=True)
    await client.close()

    assert answer.http_status == 200
    assert all(was_waiting)
    assert all(isinstance(error, PartnerUnreachable) for error in failed)


async def test_a_known_host_is_called_where_it_last_was_while_its_name_server_is_silent(names: NameServer) -> None:
    resolver = PartnerResolver(patience_seconds=_PATIENCE)
    await _found(resolver)
    names.is_silent = True

    assert await _found(resolver) == ["127.0.0.1"]
    assert await _found(resolver) == ["127.0.0.1"]
    assert names.asked == 2


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM])
async def test_a_known_host_outlives_a_passing_failure(names: NameServer, code: int) -> None:
    resolver = PartnerResolver()
    await _found(resolver)
    names.trouble = socket.gaierror(code, "trouble")

    assert await _found(resolver) == ["127.0.0.1"]


async def test_a_known_host_that_does_not_exist_any_more_is_not_called(names: NameServer) -> None:
    resolver = PartnerResolver()
    await _found(resolver)
    names.trouble = socket.gaierror(socket.EAI_NONAME, "gone")

    with pytest.raises(socket.gaierror):
        await _found(resolver)


async def test_look_ups_are_bounded_and_beyond_the_bound_fail_at_once_but_for_known_hosts(names: NameServer) -> None:
    resolver = PartnerResolver(most_lookups=3)
    await _found(resolver)
    async with _waiting(resolver, "silent1.test", "silent2.test", "silent3.test"):
        with pytest.raises(OSError, match="too many"):
            await _found(resolver, "new.test")

        assert await _found(resolver) == ["127.0.0.1"]


async def test_a_caller_that_gives_up_leaves_the_look_up_to_the_others(names: NameServer) -> None:
    resolver = PartnerResolver()
    first = asyncio.create_task(resolver.resolve("silent.test", 443))
    second = asyncio.create_task(resolver.resolve("silent.test", 443))
    await asyncio.sleep(0)
    first.cancel()
    names.released.set()

    with pytest.raises(socket.gaierror):
        await second
    assert names.asked == 1


async def test_what_is_no_host_name_is_an_error_of_the_caller_only() -> None:
    with pytest.raises(UnicodeError):
        await PartnerResolver().resolve(f"{'x' * 70}.test", 443)


async def test_a_silent_name_server_does_not_hold_up_the_end_of_the_process() -> None:
    script = (
        "import asyncio, socket, threading\n"
        "socket.getaddrinfo = lambda *_, **__: threading.Event().wait()\n"
        "from hub.partners.resolver import PartnerResolver\n"
        "async def main():\n"
        "    await asyncio.wait([asyncio.create_task(PartnerResolver().resolve('silent.test', 443))], timeout=0.01)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    try:
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
