"""Operators see what the hub holds and what became of a message, exactly as it is."""

import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.model.outcome import Leg, Outcome, Verdict
from hub.store.exchanges import add_outcomes, row_of
from tests.integration.admin_rig import AdminRig, admin_rig

NOON_MS = 1_767_268_800_000


@pytest.fixture
async def rig(database_url: str, tmp_path: Path) -> AsyncIterator[AdminRig]:
    async with admin_rig(database_url, tmp_path) as made:
        yield made


def an_outcome(at: int, leg: Leg, kind: str, verdict: Verdict, elapsed_ms: float) -> Outcome:
    return Outcome(
        at=at,
        outcome_id=str(uuid.uuid4()),
        correlation_id="corr-1",
        request_id=str(uuid.uuid4()),
        leg=leg,
        kind=kind,
        verdict=verdict,
        from_party="NL/ENE",
        to_party="NL/MSP",
        module="tokens",
        method="POST",
        http_status=200,
        ocpi_status=1000,
        elapsed_ms=elapsed_ms,
    )


async def _hold(rig: AdminRig, object_id: str, evse_uid: str, raw: str | None, module: str = "locations") -> None:
    async with rig.store.connection() as connection:
        await connection.execute(
            "insert into unit (module, country_code, party_id, object_id, evse_uid, raw, last_updated, clock, log_epoch,"
            " log_partition, log_offset, platform_id, tail, query)"
            " values ($1, 'NL', 'ENE', $2, $3, $4, now(), now(), 'epoch', 0, 7, $5, '', '')",
            module, object_id, evse_uid, raw, str(uuid.uuid4()),
        )  # fmt: skip


async def test_a_story_is_told_in_order_with_the_hubs_and_the_partners_time(rig: AdminRig) -> None:
    told = [
        an_outcome(NOON_MS + 50, Leg.INGRESS, "request.answered", Verdict.ANSWERED, 50.0),
        an_outcome(NOON_MS + 45, Leg.RELAY, "delivery.attempted", Verdict.DELIVERED, 40.0),
    ]
    async with rig.store.transaction() as connection:
        await add_outcomes(connection, [row_of(outcome) for outcome in told])

    story = await rig.json("exchange", "show", "corr-1")
    shown = await rig.hub("exchange", "show", "corr-1")

    assert [step["kind"] for step in story["steps"]] == ["delivery.attempted", "request.answered"]
    assert (story["total_ms"], story["partner_ms"], story["hub_ms"]) == (50, 40, 10)
    assert shown.stdout.index("delivery.attempted") < shown.stdout.index("request.answered")


async def test_within_one_millisecond_accepted_comes_first_and_answered_last(rig: AdminRig) -> None:
    verdicts = (Verdict.ANSWERED, Verdict.DELIVERED, Verdict.ACCEPTED)
    told = [an_outcome(NOON_MS, Leg.INGRESS, "kind", verdict, 1.0) for verdict in verdicts]
    async with rig.store.transaction() as connection:
        await add_outcomes(connection, [row_of(outcome) for outcome in told])

    steps = (await rig.json("exchange", "show", "corr-1"))["steps"]

    assert [step["verdict"] for step in steps] == ["accepted", "delivered", "answered"]


async def test_nothing_told_is_not_found_also_after_waiting(rig: AdminRig) -> None:
    began = time.monotonic()
    result = await rig.hub("exchange", "show", "nobody", "--wait", "0.5")

    assert result.exit_code == 4
    assert time.monotonic() - began >= 0.5


async def test_an_object_is_shown_unit_by_unit_with_the_bytes_that_were_pushed(rig: AdminRig) -> None:
    root = '{ "id":"LOC1",  "coordinates":{"latitude":"51.10"}, "x":1.0e2,\n "name":"Wijchen é" }'
    await _hold(rig, "LOC1", "", root)
    await _hold(rig, "LOC1", "E1", '{"uid":"E1"}')
    await _hold(rig, "LOC1", "E2", None)

    found = await rig.json("object", "show", "locations/nl/ene/loc1")

    assert [unit["evse_uid"] for unit in found["units"]] == ["", "E1", "E2"]
    assert hashlib.sha256(found["units"][0]["raw"].encode()).digest() == hashlib.sha256(root.encode()).digest()
    assert [unit["raw"] is None for unit in found["units"]] == [False, False, True]
    assert (found["units"][0]["log_epoch"], found["units"][0]["log_offset"]) == ("epoch", 7)
    shown = (await rig.hub("object", "show", "locations/NL/ENE/LOC1")).stdout
    assert root in shown
    assert "deleted" in shown


async def test_a_token_is_found_with_and_without_its_type(rig: AdminRig) -> None:
    await _hold(rig, "UID1:RFID", "", "{}", module="tokens")
    await _hold(rig, "UID1:APP_USER", "", "{}", module="tokens")

    both = await rig.json("object", "show", "tokens/NL/ENE/UID1")
    one = await rig.json("object", "show", "tokens/NL/ENE/UID1:rfid")

    assert [unit["object_id"] for unit in both["units"]] == ["UID1:APP_USER", "UID1:RFID"]
    assert [unit["object_id"] for unit in one["units"]] == ["UID1:RFID"]


async def test_status_tells_what_is_away_and_ends_with_six(rig: AdminRig) -> None:
    await rig.json("party", "invite", "NL/ENE", "--role", "CPO")

    result = await rig.hub("status", "-o", "json")

    found = json.loads(result.stdout)
    assert result.exit_code == 6
    assert (found["database"]["is_reachable"], found["kafka"]["is_reachable"]) == (True, False)
    assert found["counts"]["platforms"] == {"invited": 1}


async def test_the_running_hubs_settings_are_shown_without_its_secrets(rig: AdminRig) -> None:
    rows = await rig.json("settings", "--of-hub")

    assert {row["variable"] for row in rows} >= {"HUB_POSTGRES_URL", "HUB_PUBLIC_URL"}


async def test_objects_known_by_patches_only_are_listed_with_what_came_of_fetching_them(rig: AdminRig) -> None:
    for object_id, evse_uid in (("LOC1", ""), ("LOC1", "E1"), ("LOC2", ""), ("LOC3", "")):
        await _hold(rig, object_id, evse_uid, None)
    await rig.value("update unit set is_incomplete = object_id <> 'LOC3' where raw is null returning 1")
    await rig.value(
        "insert into incomplete (module, country_code, party_id, object_id, log_epoch, log_offset, since, tries, next_try_at,"
        " is_given_up, detail)"
        " values ('locations', 'NL', 'ENE', 'LOC2', 'e', 0, '2026-06-01', 3, now(), true, 'the owner does not know it')"
        " returning 1"
    )

    found = await rig.json("object", "incomplete", "--party", "nl/ene")
    other = await rig.json("object", "incomplete", "--party", "NL/XXX")
    shown = (await rig.hub("object", "incomplete")).stdout

    assert [(row["object_id"], row["units"], row["tries"], row["is_given_up"]) for row in found] == [
        ("LOC2", 1, 3, True),
        ("LOC1", 2, 0, False),
    ]
    assert other == []
    assert "given up" in shown
    assert "the owner does not know it" in shown
