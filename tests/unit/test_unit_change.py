"""How pushes change units, and what receivers get of them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from hub.model.change import Result, Sending
from tests.unit.unit_objects import LATER, NOON, Held, a_location, a_push, an_evse, at

APPLIED, REPEATED, STALE, TOUCHED = Result.APPLIED, Result.REPEATED, Result.STALE, Result.TOUCHED
REDELIVERED, SUPERSEDED, INCOMPLETE = Result.REDELIVERED, Result.SUPERSEDED, Result.INCOMPLETE


@pytest.fixture
def held() -> Held:
    """L1 with E1 and E2, clocks at noon."""
    made = Held()
    made.take(a_push("PUT", "locations/L1", a_location(evses=[an_evse("E1"), an_evse("E2")])))
    return made


def test_a_patch_of_a_location_changes_the_named_members_only(held: Held) -> None:
    before = held.object()

    made = held.take(a_push("PATCH", "locations/L1", {"city": "Nijmegen", "last_updated": at(1)}))

    assert (made.sending, made.results) == (Sending.RAW, (APPLIED,))
    assert held.object() == {**before, "city": "Nijmegen", "last_updated": at(1)}


def test_a_patch_of_an_evse_leaves_its_location_and_the_other_evses_alone(held: Held) -> None:
    location, other = held.unit("L1"), held.unit("L1", "E2")

    held.take(a_push("PATCH", "locations/l1/e1", {"status": "CHARGING", "last_updated": at(1)}))

    assert (held.unit("L1"), held.unit("L1", "E2")) == (location, other)
    assert held.object()["evses"][0] == {**an_evse("E1"), "status": "CHARGING", "last_updated": at(1)}


def test_a_patch_of_a_connector_changes_it_within_its_evse_and_moves_the_clock_of_the_evse(held: Held) -> None:
    held.take(a_push("PATCH", "locations/L1/E1/1", {"max_voltage": 400, "last_updated": at(1)}))

    evse = held.object()["evses"][0]
    assert evse["connectors"] == [{"id": "1", "max_voltage": 400, "last_updated": at(1)}]
    assert evse["last_updated"] == at(1)
    assert held.object()["last_updated"] == at(0)


def test_a_connector_that_is_put_comes_beside_the_others(held: Held) -> None:
    connector = {"id": "2", "last_updated": at(1)}
    held.take(a_push("PUT", "locations/L1/E1/2", connector))

    assert held.object()["evses"][0]["connectors"] == [*an_evse()["connectors"], connector]


def test_an_evse_that_is_put_comes_beside_the_others(held: Held) -> None:
    held.take(a_push("PUT", "locations/L1/E3", an_evse("E3", 1)))

    assert [evse["uid"] for evse in held.object()["evses"]] == ["E1", "E2", "E3"]


def test_a_put_of_a_location_replaces_its_evses(held: Held) -> None:
    held.take(a_push("PUT", "locations/L1", a_location(2, evses=[an_evse("E3", 2)])))

    assert [evse["uid"] for evse in held.object()["evses"]] == ["E3"]


def test_a_put_without_evses_removes_them_all(held: Held) -> None:
    held.take(a_push("PUT", "locations/L1", {"id": "L1", "last_updated": at(2)}))

    assert held.object() == {"id": "L1", "last_updated": at(2)}


def test_a_patch_that_names_evses_replaces_the_list(held: Held) -> None:
    made = held.take(a_push("PATCH", "locations/L1", {"evses": [an_evse("E2", 1)], "last_updated": at(1)}))

    assert made.sending is Sending.RAW
    assert held.object() == {**a_location(1), "last_updated": at(1), "evses": [an_evse("E2", 1)]}


def test_that_only_an_evse_is_left_out_is_a_change(held: Held) -> None:
    made = held.take(a_push("PUT", "locations/L1", a_location(evses=[an_evse("E1")])))

    assert made.sending is Sending.RAW
    assert [evse["uid"] for evse in held.object()["evses"]] == ["E1"]


def test_an_older_clock_is_stale_and_an_equal_one_is_not(held: Held) -> None:
    held.take(a_push("PATCH", "locations/L1/E1", {"status": "CHARGING", "last_updated": at(5)}))

    older = held.take(a_push("PATCH", "locations/L1/E1", {"status": "BLOCKED", "last_updated": at(4)}))
    equal = held.take(a_push("PATCH", "locations/L1/E1", {"status": "AVAILABLE", "last_updated": at(5)}))

    assert (older.sending, older.results) == (Sending.NOTHING, (STALE,))
    assert (equal.sending, equal.results) == (Sending.RAW, (APPLIED,))
    assert held.object()["evses"][0]["status"] == "AVAILABLE"


def test_a_clock_in_the_future_counts_from_its_arrival(held: Held) -> None:
    future = (LATER + timedelta(days=400)).isoformat()
    first = held.take(a_push("PATCH", "locations/L1/E1", {"last_updated": future}), arrived=LATER)
    after = held.take(
        a_push("PATCH", "locations/L1/E1", {"last_updated": at(10**4)}), arrived=LATER + timedelta(weeks=9)
    )

    assert (first.results, after.results) == ((TOUCHED,), (TOUCHED,))
    assert held.object()["evses"][0]["last_updated"] == at(10**4)


def test_of_a_partly_stale_location_the_fresh_parts_are_applied_and_the_current_state_goes_out(held: Held) -> None:
    held.take(a_push("PATCH", "locations/L1/E1", {"status": "CHARGING", "last_updated": at(9)}))

    made = held.take(a_push("PUT", "locations/L1", a_location(5, evses=[an_evse("E1", 5), an_evse("E2", 5)])))

    assert (made.sending, made.results) == (Sending.CURRENT, (TOUCHED, STALE, TOUCHED))
    assert [evse["last_updated"] for evse in held.object()["evses"]] == [at(9), at(5)]


def test_a_stale_location_removes_no_evse_and_brings_back_none_that_a_newer_one_left_out(held: Held) -> None:
    held.take(a_push("PUT", "locations/L1", a_location(9, evses=[an_evse("E1", 9), an_evse("E3", 9)])))

    made = held.take(a_push("PUT", "locations/L1", a_location(5, evses=[an_evse("E1", 5), an_evse("E2", 5)])))

    assert (made.sending, set(made.results)) == (Sending.NOTHING, {STALE})
    assert [evse["uid"] for evse in held.object()["evses"]] == ["E1", "E3"]


def test_an_exact_repetition_is_not_delivered_again(held: Held) -> None:
    made = held.take(a_push("PUT", "locations/L1", a_location(evses=[an_evse("E1"), an_evse("E2")])))

    assert (made.sending, set(made.results)) == (Sending.NOTHING, {REPEATED})


def test_a_touch_is_delivered(held: Held) -> None:
    assert held.take(a_push("PATCH", "locations/L1/E1", {"last_updated": at(1)})).sending is Sending.RAW


def test_a_deleted_tariff_leaves_a_tombstone_until_it_is_put_again() -> None:
    held, tariff = Held(), {"id": "T1", "last_updated": at(3)}
    held.take(a_push("PUT", "tariffs/T1", tariff))

    deleted = held.take(a_push("DELETE", "tariffs/T1"))
    again = held.take(a_push("DELETE", "tariffs/T1"))
    assert held.unit("T1", module="tariffs").is_tombstone
    older = held.take(a_push("PUT", "tariffs/T1", {**tariff, "last_updated": at(2)}))
    back = held.take(a_push("PUT", "tariffs/T1", tariff))

    assert [made.sending for made in (deleted, again, older, back)] == [
        Sending.RAW,
        Sending.NOTHING,
        Sending.NOTHING,
        Sending.RAW,
    ]
    assert held.object("T1", "tariffs") == tariff


def test_what_was_never_held_can_be_deleted() -> None:
    held = Held()

    assert held.take(a_push("DELETE", "tariffs/T1")).sending is Sending.RAW
    assert held.unit("T1", module="tariffs").is_tombstone


@pytest.mark.parametrize("path", ["locations/L1", "locations/L1/E1", "locations/L1/E1/1", "tokens/T1"])
def test_a_patch_without_a_base_is_forwarded_as_it_is_and_leaves_the_unit_incomplete(path: str) -> None:
    held = Held()

    made = held.take(a_push("PATCH", path, {"last_updated": at(5)}))

    assert (made.sending, made.results, made.is_loose) == (Sending.RAW, (INCOMPLETE,), True)
    assert [unit.is_incomplete for unit in held.units.values()] == [True]


def test_patches_without_a_base_are_sent_again_one_by_one_after_a_restart() -> None:
    held = Held()
    patches = [a_push("PATCH", "tokens/T1", {"n": n, "last_updated": at(n)}) for n in range(2)]
    for patch in patches:
        held.take(patch)

    again = [held.take(patch, offset=offset) for offset, patch in enumerate(patches)]

    assert [(made.sending, made.is_loose) for made in again] == [(Sending.RAW, True)] * 2


def test_the_whole_object_completes_what_only_patches_were_known_of_even_if_it_is_older() -> None:
    held = Held()
    held.take(a_push("PATCH", "locations/L1/E1", {"last_updated": at(5)}))

    made = held.take(a_push("PUT", "locations/L1", a_location(4)))

    assert (made.sending, made.is_loose) == (Sending.RAW, False)
    assert held.object() == a_location(4)


def test_a_record_read_again_is_sent_but_not_applied(held: Held) -> None:
    evse = a_push("PUT", "locations/L1/E1", an_evse(minute=5))
    held.take(evse)
    before = dict(held.units)

    made = held.take(evse, offset=held.offset)

    assert (made.sending, made.results) == (Sending.RAW, (REDELIVERED,))
    assert held.units == before


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", "L1"), ("PATCH", "L1/E1"), ("PATCH", "L1/E1/1"), ("PUT", "L1/E1/1")]
)
def test_what_is_no_whole_unit_brings_the_current_state_when_read_again(held: Held, method: str, path: str) -> None:
    """It may have taken the place of an earlier record, which then does not come again."""
    patch = a_push(method, f"locations/{path}", {"id": path[-1], "last_updated": at(5)})
    held.take(patch)

    assert held.take(patch, offset=held.offset).sending is Sending.CURRENT


def test_an_older_record_read_again_brings_the_current_state(held: Held) -> None:
    old, new = (a_push("PATCH", "locations/L1/E1", {"n": n, "last_updated": at(n)}) for n in (1, 2))
    held.take(old)
    held.take(new)

    assert held.take(old, offset=1).sending is Sending.CURRENT
    assert held.take(new, offset=2).results == (REDELIVERED,)


def test_a_location_read_again_does_not_take_away_an_evse_that_came_later(held: Held) -> None:
    held.take(a_push("PUT", "locations/L1/E3", an_evse("E3", 1)))

    made = held.take(a_push("PUT", "locations/L1", a_location(evses=[an_evse("E1"), an_evse("E2")])), offset=0)

    assert made.sending is Sending.CURRENT
    assert [evse["uid"] for evse in held.object()["evses"]] == ["E1", "E2", "E3"]


def test_an_evse_that_was_taken_away_does_not_come_back_when_its_records_are_read_again(held: Held) -> None:
    patch = a_push("PATCH", "locations/L1/E2", {"last_updated": at(5)})
    held.take(patch)
    held.take(a_push("PUT", "locations/L1", a_location(6, evses=[an_evse("E1", 6)])))

    made = held.take(patch, offset=1)

    assert (made.sending, made.results) == (Sending.CURRENT, (SUPERSEDED,))
    assert [evse["uid"] for evse in held.object()["evses"]] == ["E1"]


def test_offsets_of_another_log_are_not_compared(held: Held) -> None:
    held.epoch = "a new log"

    made = held.take(a_push("PATCH", "locations/L1/E1", {"last_updated": at(5)}), offset=0)

    assert made.results == (TOUCHED,)


def test_a_stale_push_from_another_log_is_still_stale(held: Held) -> None:
    held.epoch = "a new log"

    made = held.take(
        a_push("PATCH", "locations/L1/E1", {"last_updated": (NOON - timedelta(hours=1)).isoformat()}), offset=0
    )

    assert made.results == (STALE,)


def test_a_stale_location_read_again_brings_back_no_evse_either(held: Held) -> None:
    held.take(a_push("PUT", "locations/L1", a_location(9, evses=[an_evse("E1", 9)])))
    stale = a_push("PUT", "locations/L1", a_location(5, evses=[an_evse("E2", 5)]))
    held.take(stale)
    held.take(a_push("PATCH", "locations/L1", {"last_updated": at(10)}))
    before = dict(held.units)

    held.take(stale, offset=2)

    assert held.units == before


def test_a_push_that_moves_nothing_but_clocks_is_a_touch() -> None:
    held = Held()
    held.take(a_push("PUT", "locations/L1", a_location()))
    later = a_location(minute=5, evses=[an_evse(minute=7)])

    made = held.take(a_push("PUT", "locations/L1", later))

    assert (made.sending, made.is_touch) == (Sending.RAW, True)
    assert held.object() == later


def test_a_change_beside_a_touch_is_no_touch() -> None:
    held = Held()
    held.take(a_push("PUT", "locations/L1", a_location()))

    made = held.take(a_push("PUT", "locations/L1", a_location(minute=5, evses=[an_evse(minute=5, status="CHARGING")])))

    assert (made.results, made.is_touch) == ((TOUCHED, APPLIED), False)


def test_a_sender_whose_old_clocks_count_is_never_stale() -> None:
    held = Held()
    held.take(a_push("PUT", "locations/L1/E1", an_evse(minute=9)))
    old = a_push("PUT", "locations/L1/E1", an_evse(minute=3, status="BLOCKED"))

    assert held.take(old).results == (STALE,)
    assert held.take(replace(old, accepts_stale=True)).results == (APPLIED,)


def test_a_unit_keeps_the_url_under_which_its_owner_pushed_it() -> None:
    held = Held()
    held.take(a_push("PUT", "locations/l%201", {**a_location(), "id": "l 1", "evses": [an_evse("e/1")]}))

    assert [(key.evse_uid, unit.tail) for key, unit in held.units.items()] == [
        ("", "NL/CP1/l%201"),
        ("E/1", "NL/CP1/l%201/e%2F1"),
    ]
