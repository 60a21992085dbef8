"""What confirmed pushes make of a Session: merged, each charging period once, whatever their order."""

import json
import time
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest

from hub.model.directed import LARGEST_BYTES, MOST_PERIODS, DirectedKey, DirectedPush, Held, apply_push, ends_session
from hub.ocpi.parties import PartyId

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = DirectedKey("p", PartyId("DE", "MS1"), "sessions", PartyId("NL", "CPO"), "S1")


def at(minute: int) -> str:
    return (NOON + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


def a_period(number: int) -> dict[str, Any]:
    return {"start_date_time": at(number), "dimensions": [{"type": "ENERGY", "volume": 0.60}]}


def put(minute: int, *periods: int, **members: Any) -> DirectedPush:
    body = {"id": "S1", "charging_periods": [a_period(n) for n in periods], **members, "last_updated": at(minute)}
    return DirectedPush(KEY, False, json.dumps(body).encode(), NOON)


def patch(minute: int, **members: Any) -> DirectedPush:
    return DirectedPush(KEY, True, json.dumps({**members, "last_updated": at(minute)}).encode(), NOON)


def after(*pushes: DirectedPush) -> Held:
    held: Held | None = None
    for push in pushes:
        held = apply_push(push, held)
        assert held is not None
    assert held is not None
    return held


def value(held: Held) -> Any:
    return json.loads(held.raw)


def periods(held: Held) -> list[str]:
    return [period["start_date_time"] for period in value(held)["charging_periods"]]


def test_a_patch_changes_what_it_names_and_adds_its_charging_periods() -> None:
    held = after(put(0, 1, kwh=1, status="ACTIVE"), patch(5, kwh=2, charging_periods=[a_period(2), a_period(3)]))

    assert (value(held)["kwh"], value(held)["status"], value(held)["last_updated"]) == (2, "ACTIVE", at(5))
    assert periods(held) == [at(1), at(2), at(3)]
    assert held.last_updated == NOON + timedelta(minutes=5)


@pytest.mark.parametrize("none", [[], None])
def test_no_charging_periods_in_a_patch_change_nothing_and_a_put_replaces_them(none: Any) -> None:
    held = after(put(0, 1), patch(5, charging_periods=none))

    assert periods(held) == [at(1)]
    assert periods(after(put(0, 1), put(6, 4))) == [at(4)]


def test_a_patch_that_comes_twice_adds_its_periods_once() -> None:
    one, two = patch(5, charging_periods=[a_period(2)]), patch(6, charging_periods=[a_period(3)])

    held = after(put(0, 1), one, one, two, one)

    assert periods(held) == [at(1), at(2), at(3)]
    assert value(held)["last_updated"] == at(6)
    assert apply_push(one, held) == held


def test_pushes_in_any_order_end_with_the_same_session() -> None:
    pushes = (put(0, 1, kwh=1), patch(5, kwh=2, charging_periods=[a_period(2)]), patch(6, kwh=3, status="COMPLETED"))

    ends = {(value(after(*some))["kwh"], *periods(after(*some))) for some in permutations(pushes)}

    assert ends == {(3, at(1), at(2))}


def test_a_push_that_a_newer_whole_session_has_overtaken_changes_nothing() -> None:
    held = after(put(9, 7, kwh=9))

    assert apply_push(put(1, 1, kwh=1), held) is held
    assert apply_push(patch(2, kwh=2, charging_periods=[a_period(2)]), held) is held


def test_patches_alone_are_not_a_whole_session() -> None:
    assert after(patch(1, kwh=1), patch(2, kwh=2)).whole_at is None
    assert after(patch(5, kwh=1), put(0, 1, kwh=0)).whole_at == NOON


def test_every_value_keeps_its_bytes() -> None:
    raw = b'{"n":0.60,"zz":1e2,"last_updated":"2026-06-01T12:00:00Z"}'

    held = after(DirectedPush(KEY, False, raw, NOON), patch(1, kwh=2))

    assert held.raw == b'{"n":0.60,"zz":1e2,"last_updated":"2026-06-01T12:01:00Z","kwh":2}'


def test_without_a_clock_the_arrival_counts() -> None:
    assert after(DirectedPush(KEY, False, b'{"id": "S1", "last_updated": 5}', NOON)).last_updated == NOON


@pytest.mark.parametrize("body", [b"[]", b"", b'{"charging_periods": 7}'])
def test_what_is_no_session_is_told(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        apply_push(DirectedPush(KEY, True, body, NOON), after(put(0)))


def test_a_period_is_known_however_it_is_written() -> None:
    whole = b'{"charging_periods": [{"a": 1, "b": 0.60}], "last_updated": "2026-06-01T12:00:00Z"}'
    more = b'{"charging_periods": [{"b":0.6,"a":1.0}, {"a":2}, {"a": 2.0}], "last_updated": "2026-06-01T12:01:00Z"}'

    held = after(DirectedPush(KEY, False, whole, NOON), DirectedPush(KEY, True, more, NOON))

    assert value(held)["charging_periods"] == [{"a": 1, "b": 0.6}, {"a": 2}]


def test_thousands_of_periods_are_told_apart_in_no_time() -> None:
    alike = [{"dimensions": [{"type": "ENERGY", "volume": number}]} for number in range(MOST_PERIODS)]
    half = MOST_PERIODS // 2
    held = after(put(0), patch(1, charging_periods=alike[:half]))
    more = patch(2, charging_periods=alike[half:])

    began = time.process_time()
    merged = apply_push(more, held)

    assert time.process_time() - began < 0.5
    assert merged is not None
    assert value(merged)["charging_periods"] == alike


def test_more_periods_than_are_kept_change_nothing() -> None:
    held = after(put(0, *range(MOST_PERIODS)))

    assert apply_push(patch(1, charging_periods=[a_period(MOST_PERIODS)]), held) is None


def test_what_is_larger_than_is_kept_is_not_held() -> None:
    whole = put(0, remark="x" * (LARGEST_BYTES // 2))

    assert apply_push(put(0, remark="x" * LARGEST_BYTES), None) is None
    assert apply_push(patch(0, remark="x" * LARGEST_BYTES), None) is None
    assert apply_push(patch(1, other="x" * (LARGEST_BYTES // 2)), after(whole)) is None
    assert apply_push(patch(1, remark="x"), after(whole)) is not None


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        (b'{"status": "COMPLETED", "kwh": 2}', True),
        (b'{"status": "INVALID"}', True),
        (b'{"status": "ACTIVE"}', False),
        (b'{"status": ["COMPLETED"]}', False),
        (b'{"kwh": 2}', False),
        (b"[]", False),
        (b'{"status": "\xff"}', False),
    ],
)
def test_the_last_push_of_a_session_is_known_by_its_status(body: bytes, ends: bool) -> None:
    assert ends_session(body) is ends
