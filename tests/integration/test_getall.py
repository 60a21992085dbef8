"""GET All over HTTP from the store: every page, every bound, and nothing that the viewer may not see."""

import base64
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest

from hub.app import build_app, open_http_means
from hub.messaging.topics import Topics
from hub.model.change import Position
from hub.routing.push import read_push
from hub.settings import Settings
from hub.store.secrets import Secrets
from hub.store.units import store_changes
from tests.integration.fanout_rig import SECRETS_KEY, a_push, add_platform
from tests.integration.serving import served

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ARRIVED = NOON + timedelta(days=1)
PAGE_LIMIT = 5


def at(minute: int) -> str:
    return (NOON + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Hub:
    """A hub that serves, what its CPO pushed, and an eMSP that asks."""

    url: str
    session: aiohttp.ClientSession
    means: Any
    cpo: str
    tokens: dict[str, str]
    offset: int = 0

    async def pushed(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """A push of NL/CPO as it stands in the store once it was fanned out."""
        change = read_push(a_push(method, path, body if body is not None else b"", platform_id=self.cpo))
        await store_changes(self.means.store, [(change, Position("log", self.offset, ARRIVED))])
        self.offset += 1

    async def ask(self, url: str, caller: str = "NL/MSP", **headers: str) -> "Page":
        """GET below the interface, or an absolute URL."""
        encoded = base64.b64encode(self.tokens[caller].encode()).decode()
        country_code, party_id = caller.split("/")
        sent = {
            "Authorization": f"Token {encoded}",
            "OCPI-from-country-code": country_code,
            "OCPI-from-party-id": party_id,
            **headers,
        }
        whole = url if url.startswith("http") else f"{self.url}/ocpi/2.2.1/sender/{url}"
        async with self.session.get(whole, headers=sent) as response:
            return Page(response.status, response.headers, await response.read(), response.links)

    async def crawl(self, url: str) -> list["Page"]:
        """Every page, following Link."""
        pages = [await self.ask(url)]
        while "next" in pages[-1].links:
            pages.append(await self.ask(str(pages[-1].links["next"]["url"])))
        return pages


@dataclass(frozen=True)
class Page:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    links: Any

    @property
    def data(self) -> Any:
        """The objects on it."""
        return json.loads(self.body)["data"]

    @property
    def ids(self) -> list[str]:
        """The ids on it."""
        return [entry["id"] for entry in self.data]

    @property
    def ocpi_status(self) -> int:
        """Its status code."""
        return int(json.loads(self.body)["status_code"])


@pytest.fixture
async def hub(database_url: str, kafka_bootstrap: str, topics: Topics) -> AsyncIterator[Hub]:
    tokens = {"NL/MSP": "hub-token-of-msp", "NL/CPO": "hub-token-of-cpo", "BE/CPO": "hub-token-of-another-cpo"}
    platforms = {
        "NL/MSP": await add_platform(database_url, "EMSP NL/MSP"),
        "NL/CPO": await add_platform(database_url, "CPO NL/CPO", modules=()),
        "BE/CPO": await add_platform(database_url, "CPO BE/CPO", modules=()),
    }
    await _admit(database_url, {platforms[party]: token for party, token in tokens.items()})
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = Settings(
            public_url=url,
            postgres_url=database_url,
            kafka_bootstrap=kafka_bootstrap,
            topic_prefix=topics.prefix,
            topic_partitions=topics.partition_override,
            secrets_key=SECRETS_KEY,
            operator_token="operator",
            agreements="open",
            page_limit=PAGE_LIMIT,
        )
        async with (
            open_http_means(settings) as means,
            served(build_app(means), listening),
            aiohttp.ClientSession(requote_redirect_url=False) as session,
        ):
            yield Hub(url, session, means, platforms["NL/CPO"], tokens)


async def _admit(database_url: str, tokens: dict[str, str]) -> None:
    secrets = Secrets(base64.b64decode(SECRETS_KEY))
    connection = await asyncpg.connect(database_url)
    try:
        for platform_id, token in tokens.items():
            await connection.execute(
                "insert into inbound_token (token_hash, platform_id, kind) values ($1, $2, 'access')",
                secrets.hash_inbound(token),
                platform_id,
            )
    finally:
        await connection.close()


async def test_all_pages_hold_every_object_once_in_the_order_of_creation(hub: Hub) -> None:
    for number in range(13):
        await hub.pushed("PUT", f"tariffs/T{number}", {"id": f"T{number}", "last_updated": at(0)})

    pages = await hub.crawl("tariffs?limit=4")
    by_offset = [await hub.ask(f"tariffs?offset={offset}&limit=4") for offset in (0, 4, 8, 12, 16)]

    assert [page.ids for page in pages] == [page.ids for page in by_offset[:-1]]
    assert [one for page in pages for one in page.ids] == [f"T{number}" for number in range(13)]
    assert by_offset[-1].ids == []
    assert [len(page.ids) for page in pages] == [4, 4, 4, 1]
    for page in (*pages, *by_offset):
        assert page.status == 200
        assert (page.headers["X-Total-Count"], page.headers["X-Limit"]) == ("13", str(PAGE_LIMIT))
        assert page.headers["OCPI-from-party-id"] == "HUB"
    assert "limit=4" in str(pages[0].links["next"]["url"])


async def test_a_limit_over_the_hubs_own_is_cut_and_a_crawl_goes_on_while_objects_come_and_go(hub: Hub) -> None:
    for number in range(7):
        await hub.pushed("PUT", f"tariffs/T{number}", {"id": f"T{number}", "last_updated": at(0)})

    first = await hub.ask("tariffs?limit=1000")
    await hub.pushed("DELETE", "tariffs/T1")
    await hub.pushed("PUT", "tariffs/T2", {"id": "T2", "last_updated": at(9)})
    await hub.pushed("PUT", "tariffs/T7", {"id": "T7", "last_updated": at(9)})
    second = await hub.ask(str(first.links["next"]["url"]))

    assert first.ids == ["T0", "T1", "T2", "T3", "T4"]
    assert second.ids == ["T5", "T6", "T7"]
    assert second.headers["X-Total-Count"] == "7"
    assert "next" not in second.links


async def test_bounds_hold_for_the_newest_clock_in_a_locations_tree(hub: Hub) -> None:
    connector = {"id": "1", "last_updated": at(0)}
    evse = {"uid": "E1", "status": "AVAILABLE", "connectors": [connector], "last_updated": at(0)}
    for name in ("L0", "L1"):
        await hub.pushed("PUT", f"locations/{name}", {"id": name, "evses": [evse], "last_updated": at(0)})
    await hub.pushed("PATCH", "locations/L1/E1", {"status": "CHARGING", "last_updated": at(30)})

    since = await hub.ask(f"locations?date_from={at(30)}")
    before = await hub.ask(f"locations?date_to={at(30)}")
    between = await hub.ask(f"locations?date_from={at(1)}&date_to={at(30)}")

    assert (since.ids, before.ids, between.ids) == (["L1"], ["L0"], [])
    assert (since.headers["X-Total-Count"], before.headers["X-Total-Count"]) == ("1", "1")
    assert since.data[0]["last_updated"] == at(30)
    assert since.data[0]["evses"][0]["status"] == "CHARGING"


async def test_a_page_keeps_every_byte_of_what_was_pushed(hub: Hub) -> None:
    await hub.pushed("PUT", "tariffs/T1", {"id": "T1", "last_updated": at(0)})
    raw = b'{"zz":{"b":1e2,"a":0.60},"id":"T2","n":12345678901234567890.10,"last_updated":"%s"}' % at(0).encode()
    change = read_push(a_push("PUT", "tariffs/T2", raw, platform_id=hub.cpo))
    await store_changes(hub.means.store, [(change, Position("log", 99, ARRIVED))])

    assert raw in (await hub.ask("tariffs")).body


async def test_tombstones_incomplete_objects_and_unknown_evses_are_left_out(hub: Hub) -> None:
    await hub.pushed("PUT", "tariffs/T1", {"id": "T1", "last_updated": at(0)})
    await hub.pushed("DELETE", "tariffs/T1")
    await hub.pushed("PATCH", "locations/L1", {"name": "only a patch", "last_updated": at(0)})
    await hub.pushed("PUT", "locations/L2", {"id": "L2", "evses": [], "last_updated": at(0)})
    await hub.pushed("PATCH", "locations/L2/E9", {"status": "CHARGING", "last_updated": at(30)})

    tariffs, locations = await hub.ask("tariffs"), await hub.ask("locations")
    since = await hub.ask(f"locations?date_from={at(30)}")

    assert (tariffs.ids, tariffs.headers["X-Total-Count"]) == ([], "0")
    assert (locations.ids, locations.headers["X-Total-Count"]) == (["L2"], "1")
    assert (locations.data[0]["evses"], locations.data[0]["last_updated"]) == ([], at(0))
    assert since.ids == []


async def test_a_viewer_sees_only_what_its_role_may_exchange(hub: Hub) -> None:
    await hub.pushed("PUT", "locations/L1", {"id": "L1", "evses": [], "last_updated": at(0)})

    other_cpo = await hub.ask("locations", caller="BE/CPO")

    assert (other_cpo.ids, other_cpo.headers["X-Total-Count"]) == ([], "0")


async def test_an_owner_can_look_at_the_hubs_copy_and_nobody_else_can(hub: Hub) -> None:
    connector = {"id": "1", "power": 0.5, "last_updated": at(0)}
    evse = {"uid": "E1", "connectors": [connector], "last_updated": at(0)}
    await hub.pushed("PUT", "locations/L1", {"id": "L1", "evses": [evse], "last_updated": at(0)})
    held = f"{hub.url}/ocpi/2.2.1/receiver/locations/NL/CPO"

    found = [await hub.ask(f"{held}/{path}", caller="NL/CPO") for path in ("L1", "L1/E1", "l1/e1/1")]
    missing = [await hub.ask(f"{held}/{path}", caller="NL/CPO") for path in ("L9", "L1/E9", "L1/E1/9")]
    stranger = await hub.ask(f"{held}/L1", caller="NL/MSP")

    assert [page.data["last_updated"] for page in found] == [at(0)] * 3
    assert found[2].data == connector
    assert [page.ocpi_status for page in missing] == [2003] * 3
    assert stranger.ocpi_status == 2001


async def test_a_question_that_makes_no_sense_is_refused(hub: Hub) -> None:
    beyond_bigint = "dTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk"
    parameters = ("limit=x", "offset=-1", "date_from=yesterday", "cursor=!!", "cursor=eHg", f"cursor={beyond_bigint}")

    pages = [await hub.ask(f"tariffs?{parameter}") for parameter in parameters]

    assert [(page.status, page.ocpi_status) for page in pages] == [(200, 2001)] * len(parameters)
