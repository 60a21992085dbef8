"""Operators see how receivers do, pause and resume them, and have everything sent again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.admin_rig import AdminRig, admin_rig
from tests.integration.fanout_rig import add_platform

CONFLICT, USAGE, NOT_FOUND = 1, 2, 4
LOCATION = (
    "insert into unit (module, country_code, party_id, object_id, raw, last_updated, clock, log_epoch, log_partition,"
    " log_offset, platform_id, tail, query)"
    " values ('locations', 'NL', 'CPO', $1, '{}', now(), now(), 'log', 3, 1, $2, 'NL/CPO/' || $1, '')"
)


@pytest.fixture
async def rig(database_url: str, tmp_path: Path) -> AsyncIterator[AdminRig]:
    async with admin_rig(database_url, tmp_path, agreements="open") as made:
        cpo = await add_platform(database_url, "CPO NL/CPO", modules=("tokens",))
        await add_platform(database_url, "EMSP NL/MSP")
        await add_platform(database_url, "EMSP DE/MSP")
        for number in range(3):
            await made.value(LOCATION, f"L{number}", cpo)
        await made.keeper.refresh()
        yield made


async def test_every_receiver_is_listed_with_what_it_gets(rig: AdminRig) -> None:
    rows = {row["party"]: row for row in await rig.json("receiver", "list")}

    assert {party: row["modules"] for party, row in rows.items()} == {
        "DE/MSP": ["locations", "tariffs"],
        "NL/CPO": ["tokens"],
        "NL/MSP": ["locations", "tariffs"],
    }
    assert {row["state"] for row in rows.values()} == {"flowing"}


async def test_a_paused_receiver_says_so_until_it_is_resumed(rig: AdminRig) -> None:
    paused = await rig.json("receiver", "pause", "NL/MSP")
    again = await rig.json("receiver", "pause", "nl/msp")
    resumed = await rig.json("receiver", "resume", "NL/MSP")

    assert [made["receiver"]["state"] for made in (paused, again, resumed)] == [
        "paused by an operator",
        "paused by an operator",
        "flowing",
    ]
    assert await rig.value("select count(*) from audit where action = 'receiver.changed'") == 3


async def test_a_receiver_on_a_suspended_platform_is_listed_as_such_and_can_be_set_but_not_sent_anything(
    rig: AdminRig,
) -> None:
    await rig.value(
        "update platform set status = 'suspended' from party where party.platform_id = platform.platform_id"
        " and country_code = 'DE' returning 1"
    )
    await rig.value("update directory_version set version = version + 1 returning 1")
    await rig.keeper.refresh()

    rows = {row["party"]: row for row in await rig.json("receiver", "list")}
    shown = await rig.json("receiver", "set", "DE/MSP", "--touches", "skip")
    refused = await rig.hub("receiver", "resync", "DE/MSP")

    assert (rows["DE/MSP"]["state"], rows["DE/MSP"]["modules"]) == ("suspended", ["locations", "tariffs"])
    assert rows["NL/MSP"]["state"] == "flowing"
    assert (shown["touches"], shown["receiver"]["state"]) == ("skip", "suspended")
    assert refused.exit_code == CONFLICT


async def test_a_receiver_that_catches_up_from_now_on_is_filled_anew_and_one_that_did_is_not(rig: AdminRig) -> None:
    filled = (
        "insert into receiver_fill (platform_id, country_code, party_id, module, owners, directory_version)"
        " select platform_id, country_code, party_id, 'locations', '{NL/CPO}', 1 from party where role = 'EMSP' returning 1"
    )
    await rig.value(filled)
    await rig.json("receiver", "set", "NL/MSP", "--catch-up", "none")
    await rig.json("receiver", "set", "NL/MSP", "--catch-up", "push")
    await rig.json("receiver", "set", "DE/MSP", "--catch-up", "push")

    assert await rig.value("select string_agg(country_code, ' ') from receiver_fill") == "DE"


async def test_a_resync_marks_all_that_the_receiver_may_see(rig: AdminRig) -> None:
    done = await rig.json("receiver", "resync", "NL/MSP")
    shown = await rig.json("receiver", "show", "NL/MSP")

    assert done["marked"]["locations"] == 3
    assert (shown["marks"], shown["receiver"]["marks"]) == ({"locations": 3}, 3)
    assert shown["receiver"]["oldest_seconds"] is not None
    assert await rig.value("select count(*) from dirty_mark where country_code = 'DE'") == 0


async def test_a_resync_of_a_module_that_it_does_not_receive_is_refused(rig: AdminRig) -> None:
    result = await rig.hub("receiver", "resync", "NL/MSP", "--module", "tokens")

    assert result.exit_code == CONFLICT
    assert "receives no tokens" in result.stderr


async def test_what_is_set_for_a_receiver_stays_beside_the_rest(rig: AdminRig) -> None:
    await rig.json("receiver", "set", "NL/MSP", "--touches", "skip")
    shown = await rig.json("receiver", "set", "NL/MSP", "--catch-up", "none")

    assert (shown["touches"], shown["catch_up"], shown["is_paused"]) == ("skip", "none", False)


async def test_refusals_are_shown_with_their_reason(rig: AdminRig) -> None:
    await rig.value(
        "insert into refusal (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id,"
        " log_partition, method, http_status, ocpi_status, detail, correlation_id)"
        " select platform_id, 'NL', 'MSP', 'locations', 'NL', 'CPO', 'L1', 3, 'PUT', 200, 2001, 'no city', 'c1'"
        " from party where country_code = 'NL' and party_id = 'MSP'"
    )

    result = await rig.hub("receiver", "show", "NL/MSP")

    assert result.exit_code == 0
    assert "locations/NL/CPO/L1" in result.stdout
    assert "2001" in result.stdout


async def test_who_receives_nothing_is_not_found(rig: AdminRig) -> None:
    result = await rig.hub("receiver", "show", "FR/XXX")

    assert result.exit_code == NOT_FOUND
    assert "receives nothing here" in result.stderr


async def test_setting_nothing_is_wrong_usage(rig: AdminRig) -> None:
    assert (await rig.hub("receiver", "set", "NL/MSP")).exit_code == USAGE
    assert (await rig.hub("receiver", "set", "NL/MSP", "--rate", "-1")).exit_code == USAGE


async def test_a_rate_is_kept_beside_other_settings_until_it_is_taken_away(rig: AdminRig) -> None:
    await rig.json("receiver", "set", "NL/MSP", "--rate", "2.5")
    kept = await rig.json("receiver", "set", "NL/MSP", "--touches", "skip")
    gone = await rig.json("receiver", "set", "NL/MSP", "--rate", "0")

    assert [shown["rate"] for shown in (kept, gone)] == [2.5, None]
    assert "no limit" in (await rig.hub("receiver", "show", "NL/MSP")).stdout


async def test_a_platform_is_trusted_with_old_clocks_until_it_is_not(rig: AdminRig) -> None:
    accepted = await rig.json("platform", "set", "NL/CPO", "--stale", "accept")
    await rig.keeper.refresh()

    assert accepted["stale"] == "accept"
    assert rig.keeper.current.platforms[accepted["platform_id"]].accepts_stale
    await rig.json("platform", "set", "NL/CPO", "--stale", "refuse")
    await rig.keeper.refresh()
    assert not rig.keeper.current.platforms[accepted["platform_id"]].accepts_stale


async def test_habits_of_a_platform_are_added_and_cleared(rig: AdminRig) -> None:
    first = await rig.json("platform", "quirks", "NL/CPO", "--set", "raw-token")
    both = await rig.json("platform", "quirks", "NL/CPO", "--set", "http-status")
    shown = await rig.json("platform", "quirks", "NL/CPO")
    one = await rig.json("platform", "quirks", "NL/CPO", "--clear", "--set", "half-headers")
    none = await rig.json("platform", "quirks", "NL/CPO", "--clear")

    assert first["quirks"] == ["raw-token"]
    assert both["quirks"] == shown["quirks"] == ["http-status", "raw-token"]
    assert (one["quirks"], none["quirks"]) == (["half-headers"], [])
    assert (await rig.hub("platform", "quirks", "NL/CPO", "--set", "no-such")).exit_code == USAGE
