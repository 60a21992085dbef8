"""Who answers an authorization: the owner, the first eMSP that allows it, or the hub from what it holds."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from hub.messaging.codec import decode_outcomes
from hub.messaging.topics import OUTCOMES
from hub.model.change import Position
from hub.routing.push import read_push
from hub.store.pool import Store
from hub.store.units import store_changes
from tests.integration.exchange_rig import HUB, Came, Exchange, Got, Peer, Script, ocpi
from tests.integration.fanout_rig import a_push
from tests.integration.hub_rig import a_log, change, faults, running_exchange
from tests.integration.partner_rig import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 3.0
SETTINGS: dict[str, Any] = {"HUB_AUTHORIZE_SECONDS": str(SECONDS)}
CLOCK = "2026-06-02T10:00:00Z"
AWAY = "update platform set is_online = false where platform_id = $1"
LOCATION = {"location_id": "L1", "evse_uids": ["E1"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    folder = tmp_path_factory.mktemp("authorize")
    async with running_exchange(postgres_url, migrated_template, kafka_bootstrap, folder, **SETTINGS) as rig:
        yield rig
        assert not faults(rig, "serve", "relay")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_offline(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    folder = tmp_path_factory.mktemp("authorize_offline")
    settings = SETTINGS | {"HUB_AUTHORIZE_FALLBACK": "offline"}
    async with running_exchange(postgres_url, migrated_template, kafka_bootstrap, folder, **settings) as rig:
        yield rig
        assert not faults(rig, "serve", "relay")


@pytest_asyncio.fixture(loop_scope="module")
async def rig(running: Exchange) -> AsyncIterator[Exchange]:
    """A hub without a fallback; everybody is there."""
    running.reset()
    yield running
    await change(running, "update platform set is_online = true, status = 'connected'")


@pytest_asyncio.fixture(loop_scope="module")
async def offline(running_offline: Exchange) -> AsyncIterator[Exchange]:
    """A hub whose fallback is offline; everybody is there."""
    running_offline.reset()
    yield running_offline
    await change(running_offline, "update platform set is_online = true, status = 'connected'")


def fresh() -> str:
    return f"T-{uuid.uuid4().hex[:12]}"


async def hold(rig: Exchange, owner: Peer, uid: str, **fields: Any) -> dict[str, Any]:
    """What fan-out stores when an owner pushes a Token to all."""
    token = {"uid": uid, "type": "RFID", "valid": True, "whitelist": "ALLOWED", "last_updated": CLOCK} | fields
    push = a_push("PUT", f"tokens/{uid}", token, tail=f"{owner.party}/{uid}", platform_id=owner.platform_id)
    store = await Store.open(rig.database_url, size=2)
    try:
        await store_changes(store, [(read_push(push), Position("log", 0, datetime.now(UTC)))])
    finally:
        await store.close()
    return token


async def authorize(rig: Exchange, uid: str, to: str | None = None, **more: Any) -> Got:
    return await rig.ask(rig.cpo, "POST", f"sender/tokens/{uid}/authorize", to=to, **more)


def info(got: Got) -> str:
    """What an answer says about the token, or its codes."""
    return str(got.body["data"]["allowed"]) if "data" in got.body else f"{got.http} {got.ocpi}"


def told(allowed: str) -> web.Response:
    return ocpi(data={"allowed": allowed})


async def knows_it_not(_: Came) -> web.StreamResponse:
    return ocpi(2004, http=404)


async def is_silent(_: Came) -> web.StreamResponse:
    await asyncio.sleep(SECONDS * 3)
    return told("ALLOWED")


def says(allowed: str) -> Script:
    async def script(_: Came) -> web.StreamResponse:
        return told(allowed)

    return script


def by_uid(place: int) -> Script:
    """Answers with the word at this place of the token's uid: `T.BLOCKED.late`."""

    async def script(came: Came) -> web.StreamResponse:
        word = came.target.split("/")[3].split(".")[place]
        if word == "silent":
            return await is_silent(came)
        if word == "unknown":
            return await knows_it_not(came)
        if word == "late":
            await asyncio.sleep(0.5)
        return told("ALLOWED" if word == "late" else word)

    return script


async def test_the_first_that_allows_it_is_the_answer_at_once(rig: Exchange) -> None:
    """D-06: each is asked once, addressed itself, in a message of its own."""
    rig.emsp.script, rig.other.script = is_silent, says("ALLOWED")
    uid, began = fresh(), time.monotonic()
    got = await authorize(rig, uid, HUB, body=LOCATION)
    assert time.monotonic() - began < SECONDS - 1
    assert (got.http, got.ocpi, info(got), got.answered_by) == (200, 1000, "ALLOWED", "FR/MS2")

    async def both_came() -> bool:
        return bool(rig.emsp.came and rig.other.came)

    await eventually(both_came)
    (one,), (two,) = rig.emsp.came, rig.other.came
    assert one.target == two.target == f"/sender/tokens/{uid}/authorize"
    assert one.body == two.body != b""
    for came, party in ((one, "DE/MS1"), (two, "FR/MS2")):
        assert f"{came.headers['ocpi-to-country-code']}/{came.headers['ocpi-to-party-id']}" == party
    assert one.headers["x-correlation-id"] == two.headers["x-correlation-id"] == got.headers["x-correlation-id"]
    assert len({one.headers["x-request-id"], two.headers["x-request-id"], got.headers["x-request-id"]}) == 3


async def test_what_several_answers_come_to(rig: Exchange) -> None:
    """D-06: side by side, since some of them wait for the end of the time."""
    cases = {
        "T.BLOCKED.late": ("ALLOWED", "FR/MS2"),
        "T.BLOCKED.unknown": ("BLOCKED", "DE/MS1"),
        "T.unknown.NO_CREDIT": ("NO_CREDIT", "FR/MS2"),
        "T.EXPIRED.silent": ("EXPIRED", "DE/MS1"),
        "T.unknown.unknown": ("404 2004", HUB),
        "T.unknown.silent": ("200 4002", HUB),
        "T.silent.silent": ("200 4002", HUB),
    }
    rig.emsp.script, rig.other.script = by_uid(1), by_uid(2)
    answers = await asyncio.gather(*(authorize(rig, uid) for uid in cases))
    found = {uid: (info(got), got.answered_by) for uid, got in zip(cases, answers, strict=True)}
    assert found == cases
    assert len(rig.emsp.came) == len(rig.other.came) == len(cases)


async def test_who_is_away_is_not_asked_and_holds_up_nobody(rig: Exchange) -> None:
    """D-06."""
    await change(rig, AWAY, rig.emsp.platform_id)
    rig.other.script = knows_it_not
    got = await authorize(rig, fresh())
    assert (info(got), rig.emsp.came) == ("404 2004", [])
    await change(rig, AWAY, rig.other.platform_id)
    got = await authorize(rig, fresh())
    assert (got.http, got.ocpi, got.answered_by) == (200, 4003, HUB)


async def test_a_token_of_two_owners_is_asked_of_both(rig: Exchange) -> None:
    """AM-17, OR-09."""
    uid = fresh()
    await hold(rig, rig.emsp, uid)
    await hold(rig, rig.other, uid)
    rig.emsp.script, rig.other.script = says("BLOCKED"), says("ALLOWED")
    got = await authorize(rig, uid)
    assert (info(got), got.answered_by) == ("ALLOWED", "FR/MS2")


async def test_whitelist_always_is_answered_from_the_store(rig: Exchange) -> None:
    """D-05: the whole token, no reference; a named owner is asked itself, and the owner of a token that is not valid."""
    uid, invalid = fresh(), fresh()
    token = await hold(rig, rig.emsp, uid, whitelist="ALWAYS", contract_id="C1", price=0.60)
    await hold(rig, rig.emsp, invalid, whitelist="ALWAYS", valid=False)
    await change(rig, AWAY, rig.emsp.platform_id)
    got = await authorize(rig, uid, HUB, body=LOCATION)
    assert (got.http, got.ocpi, got.answered_by) == (200, 1000, HUB)
    assert got.body["data"] == {"allowed": "ALLOWED", "token": token, "location": LOCATION}
    assert (await authorize(rig, uid, "DE/MS1")).ocpi == 4003
    assert (await authorize(rig, invalid)).ocpi == 4003

    await change(rig, "update platform set is_online = true")
    rig.emsp.script = says("BLOCKED")
    assert [info(await authorize(rig, *which)) for which in ((uid, "DE/MS1"), (invalid,))] == ["BLOCKED"] * 2
    rig.emsp.came.clear()
    assert info(await authorize(rig, uid)) == "ALLOWED"
    assert rig.emsp.came == []


async def test_the_hub_does_not_speak_for_a_suspended_owner(rig: Exchange) -> None:
    """D-05, HC-07."""
    uid = fresh()
    await hold(rig, rig.emsp, uid, whitelist="ALWAYS")
    await change(rig, "update platform set status = 'suspended' where platform_id = $1", rig.emsp.platform_id)
    got = await authorize(rig, uid)
    assert (got.ocpi, got.answered_by) == (4003, HUB)


async def test_without_a_fallback_a_silent_or_absent_owner_is_told(rig: Exchange) -> None:
    """D-05: nobody else is asked about a token that has an owner."""
    uid = fresh()
    await hold(rig, rig.emsp, uid)
    rig.emsp.script = is_silent
    assert info(await authorize(rig, uid)) == "200 4002"
    await change(rig, AWAY, rig.emsp.platform_id)
    assert info(await authorize(rig, uid)) == "200 4003"
    assert (len(rig.emsp.came), rig.other.came) == (1, [])


async def test_with_the_fallback_valid_tokens_may_charge_while_their_owner_is_silent(offline: Exchange) -> None:
    """D-05: never those of whitelist NEVER, and whatever the owner says counts."""
    expected = {"ALLOWED": ("ALLOWED", HUB), "ALLOWED_OFFLINE": ("ALLOWED", HUB), "NEVER": ("200 4002", HUB)}
    uids = {whitelist: fresh() for whitelist in expected}
    tokens = {name: await hold(offline, offline.emsp, uid, whitelist=name) for name, uid in uids.items()}
    offline.emsp.script = is_silent
    answers = await asyncio.gather(*(authorize(offline, uid) for uid in uids.values()))
    found = {name: (info(got), got.answered_by) for name, got in zip(uids, answers, strict=True)}
    assert found == expected
    assert answers[0].body["data"] == {"allowed": "ALLOWED", "token": tokens["ALLOWED"]}
    offline.emsp.script = says("BLOCKED")
    got = await authorize(offline, uids["ALLOWED"])
    assert (info(got), got.answered_by) == ("BLOCKED", "DE/MS1")


async def test_with_the_fallback_they_may_while_it_is_away_and_the_ledger_says_so(offline: Exchange) -> None:
    """D-05: also where the owner was named; a token that the hub does not hold is nobody's to allow."""
    uid, never, invalid = fresh(), fresh(), fresh()
    await hold(offline, offline.emsp, uid)
    await hold(offline, offline.emsp, never, whitelist="NEVER")
    await hold(offline, offline.emsp, invalid, valid=False)
    await change(offline, AWAY, offline.emsp.platform_id)
    named = await authorize(offline, uid, "DE/MS1")
    got = await authorize(offline, uid)
    assert [(info(one), one.answered_by) for one in (named, got)] == [("ALLOWED", HUB)] * 2
    denied = [
        await authorize(offline, never),
        await authorize(offline, invalid),
        await authorize(offline, fresh(), "DE/MS1"),
    ]
    assert [info(one) for one in denied] == ["200 4003"] * 3
    assert offline.emsp.came == []

    async def is_told() -> bool:
        async with a_log(offline) as log:
            outcomes = [entry for record in await log.records(OUTCOMES) for entry in decode_outcomes(record.value)]
        mine = [one for one in outcomes if one.correlation_id == got.headers["x-correlation-id"]]
        return [(one.kind, one.to_party) for one in mine if one.leg == "relay"] == [
            ("authorization.answered", "DE/MS1")
        ]

    await eventually(is_told)
