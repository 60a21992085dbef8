"""How a receiver in trouble is treated, and what a delivery says."""

from dataclasses import replace
from typing import Any

import pytest

from hub.delivery.content import Content, current_content, raw_content
from hub.delivery.health import Bucket, Health, Standing, retry_after_seconds
from hub.model.delivery import Entry, Place
from hub.model.directory import PlatformStatus
from hub.ocpi.parties import Role
from tests.unit.routing_objects import EMSP, a_platform, an_envelope
from tests.unit.unit_objects import NOON, Held, a_location, a_push, an_evse, at


def test_a_healthy_receiver_gets_all_that_its_limit_lets_go() -> None:
    assert Health().allowed(0.0, 8) == 8


@pytest.mark.parametrize(("rate", "most"), [(0.5, 2), (5, 6), (100, 110)])
def test_in_no_second_more_begin_than_the_rate_allows_in_little_more_than_one(rate: float, most: int) -> None:
    bucket, began = Bucket(), []
    for tick in range(5000):
        now = 100 + tick / 1000
        free = bucket.free(now, rate)
        began += [now] * free
        bucket.spend(free)

    assert max(sum(first <= moment < first + 1 for moment in began) for first in began) <= most
    assert len(began) >= int(5 * rate)


def test_a_bucket_says_when_the_next_may_begin() -> None:
    bucket = Bucket()
    bucket.spend(bucket.free(100.0, 4))

    wait = bucket.seconds_to_next(4)

    assert bucket.free(100.0 + wait * 0.9, 4) == 0
    assert bucket.free(100.001 + wait, 4) == 1


def test_a_worker_has_its_share_of_a_rate() -> None:
    assert (Standing(rate=20.0).rate_of(0.25), Standing().rate_of(0.25)) == (5.0, None)


def test_after_trouble_it_rests_and_then_one_request_at_a_time_tries() -> None:
    health = Health()
    health.trouble(10.0, began=9.9)

    assert (health.allowed(10.1, 8), health.allowed(10.25, 8)) == (0, 1)


def test_pauses_grow_up_to_a_bound() -> None:
    health, now, pauses = Health(), 0.0, []
    for _ in range(6):
        health.trouble(now, began=now)
        pauses.append(round(health.rests_until - now, 3))
        now = health.rests_until

    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_one_good_answer_ends_all_trouble() -> None:
    health = Health()
    for now in range(5):
        health.trouble(float(now), began=float(now))
    health.well(6.0)

    assert health == Health(well_at=6.0)


def test_a_pause_that_was_asked_for_is_kept_though_another_request_succeeds() -> None:
    health = Health()
    health.asked_to_wait(100.0, 1.5)
    health.well(100.1)
    assert (health.allowed(101.4, 8), health.waits_until, health.allowed(101.5, 8)) == (0, 101.5, 8)


def test_the_breaker_opens_after_several_failures_over_a_second() -> None:
    health = Health()
    for now in (0.0, 0.1, 0.9):
        health.trouble(now, began=now)
        assert not health.opens_breaker(now, 15.0)
    health.trouble(1.0, began=1.0)

    assert health.opens_breaker(1.0, 15.0)


def test_one_request_without_an_answer_for_all_its_time_opens_the_breaker() -> None:
    health = Health()
    health.trouble(15.0, began=0.0)

    assert health.opens_breaker(15.0, 15.0)


def test_one_request_without_an_answer_among_good_ones_does_not_open_it() -> None:
    health = Health()
    health.well(14.9)
    health.trouble(15.0, began=0.0)

    assert not health.opens_breaker(15.0, 15.0)


def test_who_is_well_and_connected_is_not_parked() -> None:
    assert Standing().parked(a_platform("p2", (EMSP, Role.EMSP)), 0.0) is None


@pytest.mark.parametrize(
    ("standing", "platform", "why"),
    [
        (Standing(), {"is_online": False}, "offline"),
        (Standing(), {"status": PlatformStatus.UNREGISTERED}, "not connected"),
        (Standing(is_paused=True), {}, "paused by an operator"),
        (Standing(asked_until=11.0), {}, "asked to wait"),
        (Standing(is_open=True), {}, "in trouble for too long"),
    ],
)
def test_why_a_receiver_is_parked(standing: Standing, platform: dict[str, Any], why: str) -> None:
    assert standing.parked(a_platform("p2", (EMSP, Role.EMSP), **platform), 10.0) == why


def test_a_trial_is_due_only_where_the_breaker_alone_parks() -> None:
    platform, offline = a_platform("p2", (EMSP, Role.EMSP)), a_platform("p2", (EMSP, Role.EMSP), is_online=False)
    standing = Standing(is_open=True, next_try_at=10.0)

    assert standing.may_be_tried(platform, 10.0)
    assert not standing.may_be_tried(platform, 9.9)
    assert not standing.may_be_tried(offline, 10.0)
    assert not replace(standing, is_paused=True).may_be_tried(platform, 10.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        ("0", 0.0),
        ("-1", None),
        ("1.5", None),
        ("999999999", 3600.0),
        ("Wed, 21 Oct", None),
        ("Mon, 01 Jun 2026 12:00:30 GMT", 30.0),
        ("Mon, 01 Jun 2026 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOON) == seconds


def content_of(held: Held, method: str, path: str) -> Content | None:
    """The current state as it is sent for a push that waited."""
    target = a_push(method, path, {} if method != "DELETE" else None).target
    parts = [unit for key, unit in held.units.items() if not target.evse_uid and key.root == target]
    own = held.units.get(target)
    return current_content(target, [unit for unit in (own, *(p for p in parts if p is not own)) if unit])


@pytest.fixture
def held() -> Held:
    made = Held()
    made.take(a_push("PUT", "locations/l1", a_location(evses=[an_evse("E1"), an_evse("E2")])))
    return made


def test_the_current_state_of_a_location_is_the_whole(held: Held) -> None:
    assert content_of(held, "PATCH", "locations/l1") == Content("PUT", "NL/CP1/l1", "", held.current(), "p1")


def test_the_current_state_of_an_evse_or_its_connector_is_the_evse(held: Held) -> None:
    expected = Content("PUT", "NL/CP1/l1/E1", "", held.unit("L1", "E1").raw or b"", "p1")

    assert content_of(held, "PATCH", "locations/l1/e1") == expected
    assert content_of(held, "PUT", "locations/l1/e1/1") == expected


def test_the_current_state_of_what_was_deleted_is_its_deletion(held: Held) -> None:
    held.take(a_push("DELETE", "tariffs/t1"))

    assert content_of(held, "PUT", "tariffs/t1") == Content("DELETE", "NL/CP1/t1", "", b"", "p1")


def test_there_is_no_current_state_of_what_is_not_held_or_known_by_patches_only(held: Held) -> None:
    held.take(a_push("PATCH", "tokens/X", {"last_updated": at(0)}))

    assert content_of(held, "PATCH", "tokens/X") is None
    assert content_of(held, "PATCH", "locations/L9") is None
    assert content_of(held, "PATCH", "locations/L1/E9") is None


def test_raw_is_what_the_sender_sent() -> None:
    envelope = an_envelope(module="locations", method="PATCH", tail="NL/CP1//L1/E1/", body=b" {}")
    change = a_push("PATCH", "locations/L1/E1", {})

    content = raw_content(Entry(change.target, Place(0, 1), envelope, True, False))

    assert content == Content("PATCH", "NL/CP1//L1/E1/", "", b" {}", envelope.platform_id)
