"""How a receiver in trouble is treated, and what a delivery says."""

import pytest

from hub.delivery.content import Content, current_content, raw_content
from hub.delivery.health import Health, retry_after_seconds
from hub.model.delivery import Entry, Place
from tests.unit.routing_objects import an_envelope
from tests.unit.unit_objects import Held, a_location, a_push, an_evse, at


def test_a_healthy_receiver_gets_all_that_its_limit_lets_go() -> None:
    assert Health().allowed(0.0, 8) == 8


def test_after_trouble_it_rests_and_then_one_request_at_a_time_tries() -> None:
    health = Health()
    health.trouble(10.0)

    assert (health.allowed(10.1, 8), health.allowed(10.25, 8)) == (0, 1)


def test_pauses_grow_up_to_a_bound() -> None:
    health, now, pauses = Health(), 0.0, []
    for _ in range(6):
        health.trouble(now)
        pauses.append(round(health.next_try - now, 3))
        now = health.next_try

    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_one_good_answer_ends_all_trouble() -> None:
    health = Health()
    for now in range(5):
        health.trouble(float(now))
    health.well()

    assert health == Health()


def test_trouble_counts_as_lasting_from_its_beginning() -> None:
    health = Health()
    health.trouble(100.0)
    assert not health.is_lost(114.0, 15.0)
    health.trouble(114.0)
    assert health.is_lost(115.1, 15.0)
    health.well()
    assert not health.is_lost(200.0, 15.0)


def test_a_pause_that_the_receiver_asked_for_is_kept_even_if_an_earlier_request_still_succeeds() -> None:
    health = Health()
    health.trouble(0.0, retry_after=30.0)
    health.well()

    assert (health.allowed(29.0, 8), health.allowed(30.0, 8)) == (0, 8)


def test_a_pause_that_the_receiver_asks_for_has_a_bound() -> None:
    health = Health()
    health.trouble(0.0, retry_after=1e9)

    assert health.next_try == 60.0


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("5", 5.0), ("0", 0.0), ("-1", None), ("1.5", None), ("Wed, 21 Oct", None)]
)
def test_retry_after_is_read_as_seconds(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value) == seconds


def content_of(held: Held, method: str, path: str, query: str = "") -> Content | None:
    """The current state as it is sent for a push that waited."""
    change = a_push(method, path, {} if method != "DELETE" else None)
    module, _, rest = path.partition("/")
    envelope = an_envelope(module=module, method=method, tail=f"NL/CP1/{rest}", query=query, body=b"{}")
    entry = Entry(change.target, Place(0, 1), envelope, True, change.replaces_all).as_current()
    parts = [unit for key, unit in held.units.items() if not change.target.evse_uid and key.root == change.target]
    own = held.units.get(change.target)
    return current_content(entry, [unit for unit in (own, *(p for p in parts if p is not own)) if unit])


@pytest.fixture
def held() -> Held:
    made = Held()
    made.take(a_push("PUT", "locations/l1", a_location(evses=[an_evse("E1"), an_evse("E2")])))
    return made


def test_the_current_state_of_a_location_is_the_whole(held: Held) -> None:
    assert content_of(held, "PATCH", "locations/l1") == Content("PUT", "NL/CP1/l1", held.current())


def test_the_current_state_of_an_evse_or_its_connector_is_the_evse(held: Held) -> None:
    expected = Content("PUT", "NL/CP1/l1/e1", held.unit("L1", "E1").raw or b"")

    assert content_of(held, "PATCH", "locations/l1/e1") == expected
    assert content_of(held, "PUT", "locations/l1/e1/1") == expected


def test_the_current_state_of_what_was_deleted_is_its_deletion(held: Held) -> None:
    held.take(a_push("DELETE", "tariffs/t1"))

    assert content_of(held, "PUT", "tariffs/t1") == Content("DELETE", "NL/CP1/t1", b"")


def test_there_is_no_current_state_of_what_is_not_held_or_known_by_patches_only(held: Held) -> None:
    held.take(a_push("PATCH", "tokens/X", {"last_updated": at(0)}))

    assert content_of(held, "PATCH", "tokens/X") is None
    assert content_of(held, "PATCH", "locations/L9") is None
    assert content_of(held, "PATCH", "locations/L1/E9") is None


def test_raw_is_what_the_sender_sent() -> None:
    envelope = an_envelope(module="locations", method="PATCH", tail="NL/CP1//L1/E1/", body=b" {}")
    change = a_push("PATCH", "locations/L1/E1", {})

    content = raw_content(Entry(change.target, Place(0, 1), envelope, True, False))

    assert content == Content("PATCH", "NL/CP1//L1/E1/", b" {}")
