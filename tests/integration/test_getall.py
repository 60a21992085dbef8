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
from hub.model.delivery import Receiver
from hub.model.unit import UnitKey
from hub.ocpi.paging import Cursor
from hub.ocpi.parties import PartyId
from hub.routing.push import read_push
from hub.settings import Settings
from hub.store import marks
from hub.store.secrets import Secrets
from hub.store.units import store_changes
from tests.integration.fanout_rig import SECRETS_KEY, a_push, add_platform
from tests.integration.partner_rig import eventually
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
    msp: str
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

    async def mark(self, *object_ids: str) -> None:
        """NL/MSP has missed these Tariffs."""
        missed = [marks.Missed(self.receiver, UnitKey("tariffs", "NL", "CPO", name), 0) for name in object_ids]
        async with self.means.store.connection() as connection:
            await marks.mark(connection, missed)

    async def marked(self) -> list[str]:
        """The Tariffs that NL/MSP has still to get."""
        async with self.means.store.connection() as connection:
            found = await marks.read_next(
                connection, self.receiver, 0, after=(datetime.min.replace(tzinfo=UTC), 0), limit=99
            )
        return [entry.key.object_id for entry in found]

    @property
    def receiver(self) -> Receiver:
        """NL/MSP as a receiver."""
        return Receiver(self.msp, PartyId("NL", "MSP"))

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
            yield Hub(url, session, means, platforms["NL/CPO"], platforms["NL/MSP"], tokens)


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


async def test_who_became_visible_since_the_date_is_shown_whole(hub: Hub, database_url: str) -> None:
    await hub.pushed("PUT", "tariffs/T1", {"id": "T1", "last_updated": at(0)})
    listed = "update party set visible_since = $1 where party_id = $2"
    answers = {}
    for party in ("CPO", "MSP"):
        connection = await asyncpg.connect(database_url)
        await connection.execute(listed, NOON + timedelta(minutes=20), party)
        await connection.execute("update directory_version set version = version + 1")
        await connection.close()
        await hub.means.keeper.refresh()
        asked = [
            f"date_from={at(10)}",
            f"date_from={at(20)}",
            f"date_from={at(21)}",
            f"date_from={at(10)}&date_to={at(0)}",
        ]
        answers[party] = [await hub.ask(f"tariffs?{query}") for query in asked]
        connection = await asyncpg.connect(database_url)
        await connection.execute("update party set visible_since = null")
        await connection.close()

    for pages in answers.values():
        assert [page.ids for page in pages] == [["T1"], ["T1"], [], []]
        assert [page.headers["X-Total-Count"] for page in pages] == ["1", "1", "0", "0"]


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
    beyond_bigint = Cursor(2**63, None, "tariffs NL/MSP").text()
    elsewhere = Cursor(0, None, "locations NL/MSP").text()
    cursors = (beyond_bigint, elsewhere, "!!", "eHg", "%FF", "e" * 5000)
    parameters = ("limit=x", "offset=-1", "date_from=yesterday", *(f"cursor={cursor}" for cursor in cursors))

    pages = [await hub.ask(f"tariffs?{parameter}") for parameter in parameters]

    assert [(page.status, page.ocpi_status) for page in pages] == [(200, 2001)] * len(parameters)


async def test_who_has_crawled_everything_has_got_what_it_missed_before_it_began(hub: Hub) -> None:
    for number in range(7):
        await hub.pushed("PUT", f"tariffs/T{number}", {"id": f"T{number}", "last_updated": at(0)})
    await hub.mark("T1", "T6")

    first = await hub.ask("tariffs?limit=5")
    await hub.mark("T6", "T2")
    before_the_end = await hub.marked()
    await hub.ask(str(first.links["next"]["url"]))

    assert sorted(before_the_end) == ["T1", "T2", "T6"]

    async def only_the_late_are_left() -> bool:
        return sorted(await hub.marked()) == ["T2", "T6"]

    await eventually(only_the_late_are_left)


@pytest.mark.parametrize(
    "query", ["date_from=2026-01-01T00:00:00Z", "date_to=2027-01-01T00:00:00Z", "offset=1", "limit=0"]
)
async def test_a_list_that_leaves_something_out_clears_no_marks(hub: Hub, query: str) -> None:
    for number in range(3):
        await hub.pushed("PUT", f"tariffs/T{number}", {"id": f"T{number}", "last_updated": at(0)})
    await hub.mark("T1")

    pages = await hub.crawl(f"tariffs?{query}")
    await hub.mark("T2")
    await hub.crawl("locations")

    assert [page.status for page in pages] == [200]
    assert sorted(await hub.marked()) == ["T1", "T2"]


async def test_a_made_up_moment_of_the_future_clears_nothing_that_is_marked_later(hub: Hub) -> None:
    await hub.pushed("PUT", "tariffs/T1", {"id": "T1", "last_updated": at(0)})
    await hub.mark("T1")
    forged = Cursor(0, datetime.now(UTC) + timedelta(days=9), "tariffs NL/MSP").text()

    async with hub.means.store.transaction() as connection:
        await connection.execute("select 1")
        await marks.mark(connection, [marks.Missed(hub.receiver, UnitKey("tariffs", "NL", "CPO", "T2"), 0)])
        await hub.ask(f"tariffs?cursor={forged}")

    async def only_the_open_transactions_is_left() -> bool:
        return await hub.marked() == ["T2"]

    await eventually(only_the_open_transactions_is_left)


async def test_what_exists_all_along_is_on_exactly_one_page_whatever_happens_meanwhile(hub: Hub) -> None:
    for number in range(6):
        await hub.pushed("PUT", f"tariffs/T{number}", {"id": f"T{number}", "last_updated": at(0)})

    seen, minute = [], 1
    page = await hub.ask("tariffs?limit=1")
    while page.ids:
        seen += page.ids
        await hub.pushed("DELETE", "tariffs/T0")
        await hub.pushed("PUT", "tariffs/T3", {"id": "T3", "last_updated": at(minute)})
        await hub.pushed("DELETE", "tariffs/T4")
        await hub.pushed("PUT", "tariffs/T4", {"id": "T4", "last_updated": at(minute)})
        minute += 1
        if "next" not in page.links:
            break
        page = await hub.ask(str(page.links["next"]["url"]))

    assert seen == ["T0", "T1", "T2", "T3", "T4", "T5"]
    assert page.headers["X-Total-Count"] == "5"


async def test_link_carries_unknown_parameters_and_escapes_and_a_limit_of_nothing_gives_the_total(hub: Hub) -> None:
    for number in range(3):
        await hub.pushed("PUT", f"tariffs/T{number}", {"id": f"T{number}", "last_updated": at(0)})

    pages = await hub.crawl("tariffs?limit=2&x=a%26b%3D%C3%A9+%2F&y=&date_from=2026-01-01T00%3A00%3A00Z")
    none = await hub.ask("tariffs?limit=0")
    beyond = await hub.ask("tariffs?offset=999999999999999")

    assert [page.ids for page in pages] == [["T0", "T1"], ["T2"]]
    assert pages[0].links["next"]["url"].query.getall("x") == ["a&b=é /"]
    assert "date_from=2026-01-01T00%3A00%3A00Z" in pages[0].headers["Link"]
    for page in (none, beyond):
        assert (page.status, page.ids, page.headers["X-Total-Count"], "Link" in page.headers) == (200, [], "3", False)
