"""Operators find every dead letter, and put back or discard each of them once."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from hub.messaging.dead_letters import bury
from hub.messaging.producer import Producer
from hub.messaging.records import Record
from hub.messaging.topics import DEAD_LETTERS, OUTCOMES, PUSHES, REQUESTS, Topics, TopicSpec
from tests.integration.admin_rig import OPERATOR_TOKEN, AdminRig, admin_rig

LOCATION_KEY = b"locations:NL:ENE:LOC1"
TOKEN_KEY = b"tokens:NL:MSP:DEADBEEF:RFID"
REFUSED, USAGE, NOT_FOUND = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Graves:
    """A hub's admin doors and its dead letters."""

    rig: AdminRig
    bootstrap: str
    topics: Topics
    producer: Producer

    async def bury(self, *records: Record, why: str = "no envelope in the headers") -> None:
        """Bury these records."""
        for record in records:
            await bury(self.producer, self.topics, record, ValueError(why))

    def record(self, offset: int, value: bytes = b"{}", *, spec: TopicSpec = PUSHES, **fields: Any) -> Record:
        """A record of partition 2 of a topic."""
        known = {"key": LOCATION_KEY, "headers": (("module", b"locations"),)}
        return Record(self.topics.name(spec), 2, offset, 1_767_268_800_000, value=value, **(known | fields))

    async def letters(self, *words: str) -> Any:
        """The letters in `hub dead-letter list`."""
        return (await self.rig.json("dead-letter", "list", *words))["letters"]

    async def records(self, spec: TopicSpec) -> list[Any]:
        """Every record of a topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(self.topics.name(spec), number) for number in range(4)]
            count = sum((await consumer.end_offsets(partitions)).values())
            consumer.assign(partitions)
            found: list[Any] = []
            async with asyncio.timeout(20):
                while len(found) < count:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found += records
            return found
        finally:
            await consumer.stop()


@pytest.fixture
async def graves(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Graves]:
    producer = Producer.durable(kafka_bootstrap)
    await producer.start()
    try:
        async with admin_rig(
            database_url, tmp_path, kafka_bootstrap=kafka_bootstrap, topic_prefix=topics.prefix
        ) as rig:
            yield Graves(rig, kafka_bootstrap, topics, producer)
    finally:
        await producer.stop()


def _offsets(letters: Sequence[Any]) -> list[int]:
    return [int(letter["source"].rsplit("/", 1)[1]) for letter in letters]


async def test_the_newest_letters_come_first_and_what_is_not_shown_is_counted(graves: Graves) -> None:
    keys = [b"locations:NL:ENE:A", b"locations:NL:ENE:B", b"locations:NL:ENE:C"]
    for number in range(9):
        await graves.bury(graves.record(number, b"x" * number, key=keys[number % 3]))

    found = await graves.rig.json("dead-letter", "list", "--limit", "4")
    shown = await graves.rig.hub("dead-letter", "list", "--limit", "4")

    assert _offsets(found["letters"]) == [8, 7, 6, 5]
    assert [letter["size"] for letter in found["letters"]] == [8, 7, 6, 5]
    assert (found["total"], found["open"], found["is_whole"]) == (9, 9, True)
    assert "showing 4 of 9" in shown.stderr
    assert "no envelope in the headers" in shown.stdout


async def test_a_letter_is_put_back_once_as_it_was_where_it_came_from(graves: Graves) -> None:
    headers = (("module", b"locations"), ("odd", b"\xff\x00"), ("error", b"the partner's own"))
    await graves.bury(graves.record(7, b'{"id":"LOC1"}', headers=headers))
    place = (await graves.letters())[0]["place"]

    first = await graves.rig.json("dead-letter", "redrive", place)
    second = await graves.rig.hub("dead-letter", "redrive", place)

    came = await graves.records(PUSHES)
    assert [(entry.partition, entry.key, entry.headers, entry.value) for entry in came] == [
        (2, LOCATION_KEY, headers, b'{"id":"LOC1"}')
    ]
    assert (first["action"], first["count"]) == ("redriven", 1)
    assert second.exit_code == REFUSED
    assert "--again" in second.stderr
    assert [letter["state"] for letter in await graves.letters()] == ["redriven"]
    assert await graves.letters("--open") == []
    assert await graves.rig.value("select array_agg(action || ' ' || subject) from audit") == [
        f"dead_letter.redriven dead-letter/{place}"
    ]


async def test_two_operators_at_once_put_a_letter_back_once(graves: Graves) -> None:
    await graves.bury(graves.record(7))
    place = (await graves.letters())[0]["place"]

    url, headers = (
        f"{graves.rig.url}/admin/v1/dead-letters/{place}/redrive",
        {"Authorization": f"Bearer {OPERATOR_TOKEN}"},
    )
    async with aiohttp.ClientSession(headers=headers) as session:
        done = await asyncio.gather(*(session.post(url, json={}) for _ in range(4)))

    assert sorted(answer.status for answer in done) == [200, 409, 409, 409]
    assert len(await graves.records(PUSHES)) == 1


async def test_again_puts_a_letter_back_once_more(graves: Graves) -> None:
    await graves.bury(graves.record(7))
    place = (await graves.letters())[0]["place"]
    await graves.rig.json("dead-letter", "redrive", place)

    again = await graves.rig.json("dead-letter", "redrive", place, "--again")

    assert again["count"] == 2
    assert len(await graves.records(PUSHES)) == 2


async def test_a_request_to_one_party_is_never_sent_late(graves: Graves) -> None:
    await graves.bury(graves.record(7, spec=REQUESTS))
    place = (await graves.letters())[0]["place"]

    one = await graves.rig.hub("dead-letter", "redrive", place)
    every = await graves.rig.json("dead-letter", "redrive", "--all")
    again = await graves.rig.hub("dead-letter", "redrive", place, "--again")

    assert (one.exit_code, again.exit_code) == (REFUSED, REFUSED)
    assert "at most once" in one.stderr
    assert (every["settled"], list(every["refused"].values())) == (0, [1])
    assert await graves.records(REQUESTS) == []
    assert [letter["state"] for letter in await graves.letters()] == ["open"]


async def test_all_open_letters_go_back_in_their_order_and_a_twin_goes_once(graves: Graves) -> None:
    twice = graves.record(3, b"3")
    await graves.bury(graves.record(5, b"5"), twice, graves.record(4, b"4"), twice)
    await graves.bury(graves.record(0, b"{}", spec=OUTCOMES, key=None, headers=()))
    of_four = next(letter for letter in await graves.letters() if letter["source"].endswith("/4"))
    await graves.rig.json("dead-letter", "discard", of_four["place"])

    done = await graves.rig.json("dead-letter", "redrive", "--all")

    assert done == {"action": "redriven", "settled": 3, "twins": 1, "refused": {}, "left": 0}
    assert [record.value for record in await graves.records(PUSHES)] == [b"3", b"5"]
    assert [record.value for record in await graves.records(OUTCOMES)] == [b"{}"]
    assert await graves.letters("--open") == []


async def test_a_record_that_was_buried_twice_is_shown_as_such_and_goes_back_once(graves: Graves) -> None:
    await graves.bury(graves.record(3), graves.record(3))

    twin, first = await graves.letters()
    await graves.rig.json("dead-letter", "redrive", twin["place"])
    second = await graves.rig.hub("dead-letter", "redrive", first["place"])
    swept = await graves.rig.json("dead-letter", "redrive", "--all")

    assert (twin["twin_of"], first["twin_of"]) == (first["place"], None)
    assert second.exit_code == REFUSED
    assert twin["place"] in second.stderr
    assert len(await graves.records(PUSHES)) == 1
    assert (swept["settled"], swept["left"]) == (0, 0)


async def test_discarding_leaves_the_record_readable_and_sends_nothing(graves: Graves) -> None:
    await graves.bury(graves.record(1), graves.record(2))

    done = await graves.rig.json("dead-letter", "discard", "--all")

    assert (done["settled"], done["left"]) == (2, 0)
    assert [letter["state"] for letter in await graves.letters()] == ["discarded", "discarded"]
    assert await graves.records(PUSHES) == []
    assert len(await graves.records(DEAD_LETTERS)) == 2


async def test_the_body_is_shown_on_request_only(graves: Graves) -> None:
    body = b'{"name": "a body that is large"}' + b" " * 3 * 2**20
    await graves.bury(graves.record(1, body), graves.record(2, b"\xff not text \x1b[2J"))
    places = {letter["source"][-1]: letter["place"] for letter in await graves.letters()}

    without = await graves.rig.json("dead-letter", "show", places["1"])
    large = await graves.rig.json("dead-letter", "show", places["1"], "--body")
    shown = await graves.rig.hub("dead-letter", "show", places["2"], "--body")

    assert without["record"]["body"] is None
    assert without["record"]["headers"] == [["module", "locations"]]
    assert without["letter"]["size"] == len(body)
    assert large["record"]["body"].startswith('{"name": "a body')
    assert "first 65536 bytes" in large["record"]["body_note"]
    assert "\\xff not text \\x1b[2J" in shown.stdout


@pytest.mark.parametrize(
    "fields",
    [
        {"key": TOKEN_KEY, "headers": (("module", b"tokens"), ("tail", b"NL/MSP/DEADBEEF"), ("query", b"type=RFID"))},
        {"key": TOKEN_KEY, "headers": ()},
        {"key": None, "headers": (("module", b"tokens"), ("tail", b"DEADBEEF/authorize"))},
        {"spec": REQUESTS, "headers": (("module", b"commands"),)},
        {"spec": REQUESTS, "headers": ()},
    ],
)
async def test_no_token_is_shown_by_any_word(graves: Graves, fields: dict[str, Any]) -> None:
    tail = dict(fields["headers"]).get("tail", b"").decode()
    await graves.bury(graves.record(1, b'{"uid":"DEADBEEF"}', **fields), why=f"PUT tokens/{tail} is no push")
    place = (await graves.letters())[0]["place"]

    told = [
        (await graves.rig.hub("dead-letter", *words)).stdout
        for words in (("list",), ("show", place), ("show", place, "--body"), ("show", place, "--body", "-o", "json"))
    ]

    assert not any("DEADBEEF" in text for text in told)
    assert "withheld" in told[2]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "1/7"), NOT_FOUND),
        (("redrive", "99/0"), NOT_FOUND),
        (("show", "1-7"), USAGE),
        (("show", "1/99999999999999999999999"), USAGE),
        (("redrive",), USAGE),
        (("discard", "1/7", "--all"), USAGE),
        (("discard", "--all", "--again"), USAGE),
        (("list", "--limit", "0"), USAGE),
    ],
)
async def test_what_is_not_there_or_not_asked_right_is_told(graves: Graves, words: tuple[str, ...], code: int) -> None:
    result = await graves.rig.hub("dead-letter", *words)

    assert result.exit_code == code, result.output


async def test_status_counts_the_open_letters(graves: Graves) -> None:
    await graves.bury(graves.record(1), graves.record(2))
    place = (await graves.letters())[0]["place"]
    await graves.rig.json("dead-letter", "discard", place)

    result = await graves.rig.hub("status", "-o", "json")
    shown = await graves.rig.hub("status")

    assert json.loads(result.stdout)["dead_letters"] == {"total": 2, "open": 1}
    assert "1 open of 2" in shown.stdout


async def test_without_kafka_the_command_says_so_and_nothing_is_noted(database_url: str, tmp_path: Path) -> None:
    async with admin_rig(database_url, tmp_path) as rig:
        listed = await rig.hub("dead-letter", "list")
        redriven = await rig.hub("dead-letter", "redrive", "0/0")
        noted = await rig.value("select count(*) from dead_letter_disposition")

    assert (listed.exit_code, redriven.exit_code, noted) == (6, 6, 0)
