"""What the hub fetched from an owner never undoes what that owner pushed after it had been asked (D-12, OB-13)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model.change import Change, Result, Sending
from hub.model.unit import Place
from tests.unit.unit_objects import LATER, Held, a_location, a_push, an_evse, at


@pytest.fixture
def held() -> Held:
    """A hub that knows a patch of the Location, at offset 0."""
    made = Held()
    made.take(a_push("PATCH", "locations/L1", {"city": "Ede", "last_updated": at(1)}))
    return made


def fetched(body: Any, offset: int, epoch: str = "log", path: str = "locations/L1") -> Change:
    """The change of an object asked for when the record at `offset` had been applied last."""
    return replace(a_push("PUT", path, body), known=Place(epoch, offset))


def test_what_nobody_changed_meanwhile_is_applied_whole(held: Held) -> None:
    made = held.take(fetched(a_location(1), 0))

    assert made.sending is Sending.RAW
    assert held.object() == a_location(1)


def test_an_evse_pushed_meanwhile_stays_though_what_was_fetched_lacks_it(held: Held) -> None:
    held.take(a_push("PUT", "locations/L1/E9", an_evse("E9", 2)))

    made = held.take(fetched(a_location(1), 0))

    assert made.sending is Sending.CURRENT
    assert [evse["uid"] for evse in held.object()["evses"]] == ["E9", "E1"]


def test_an_evse_that_was_there_before_the_owner_was_asked_goes_when_the_owner_lacks_it(held: Held) -> None:
    held.take(a_push("PUT", "locations/L1/E9", an_evse("E9", 0)))

    held.take(fetched(a_location(1), 1))

    assert [evse["uid"] for evse in held.object()["evses"]] == ["E1"]


def test_an_evse_pushed_meanwhile_stays_as_it_was_pushed_whatever_its_clock(held: Held) -> None:
    pushed = an_evse("E1", 1, status="CHARGING")
    held.take(a_push("PUT", "locations/L1/E1", pushed))

    held.take(fetched(a_location(1), 0))

    assert held.object()["evses"] == [pushed]


def test_what_was_deleted_meanwhile_stays_deleted() -> None:
    tariff = {"id": "T1", "last_updated": at(1)}
    held = Held()
    held.take(a_push("PUT", "tariffs/T1", tariff))
    held.take(a_push("DELETE", "tariffs/T1"))

    made = held.take(fetched(tariff, 0, path="tariffs/T1"))

    assert held.unit("T1", module="tariffs").is_tombstone
    assert made.sending is Sending.CURRENT


def test_a_patch_meanwhile_that_the_owners_answer_already_holds_does_not_keep_it_out(held: Held) -> None:
    held.take(a_push("PATCH", "locations/L1", {"city": "Epe", "last_updated": at(2)}))

    made = held.take(fetched(a_location(2, city="Epe"), 0))

    assert made.sending is Sending.RAW
    assert held.object() == a_location(2, city="Epe")


def test_a_patch_newer_than_what_was_fetched_leaves_it_out_and_the_object_to_be_fetched_again(held: Held) -> None:
    held.take(a_push("PATCH", "locations/L1", {"city": "Epe", "last_updated": at(2)}))

    made = held.take(fetched(a_location(1), 0))

    assert made.sending is Sending.NOTHING
    assert held.unit("L1").is_incomplete


def test_offsets_of_another_log_say_nothing_about_what_came_before_the_question() -> None:
    held = Held()
    held.take(a_push("PUT", "locations/L1/E9", an_evse("E9", 2)))

    held.take(fetched(a_location(1), 5000, epoch="an older log"))

    assert [evse["uid"] for evse in held.object()["evses"]] == ["E9", "E1"]


@given(asked_after=st.integers(0, 3), pushes=st.lists(st.sampled_from(["E1", "E2", "E3"]), max_size=4))
def test_every_evse_pushed_after_the_question_is_as_pushed_and_replaying_changes_nothing(
    asked_after: int, pushes: list[str]
) -> None:
    held = Held()
    changes = [a_push("PATCH", "locations/L1", {"city": "Ede", "last_updated": at(0)})]
    for number, uid in enumerate(pushes, start=1):
        changes.append(a_push("PUT", f"locations/L1/{uid}", an_evse(uid, number, status=f"S{number}")))
    changes.append(fetched(a_location(0, evses=[an_evse("E1", 0), an_evse("E2", 0)]), asked_after))
    for change in changes:
        held.take(change)

    newest = {uid: number for number, uid in enumerate(pushes, start=1)}
    found = {evse["uid"]: evse["status"] for evse in held.object()["evses"]}
    assert all(found[uid] == f"S{number}" for uid, number in newest.items() if number > asked_after)
    before = dict(held.units)
    for offset, change in enumerate(changes):
        assert Result.APPLIED not in held.take(change, offset=offset, arrived=LATER).results
    assert held.units == before
