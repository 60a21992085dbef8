"""A message's story tells who took how much of the caller's time."""

from datetime import UTC, datetime, timedelta

import pytest

from hub.operations.inspect import tell
from hub.store.exchanges import Step

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _step(leg: str, *, ended_ms: float, took_ms: float | None) -> Step:
    return Step(
        at=NOON + timedelta(milliseconds=ended_ms),
        leg=leg,
        kind="kind",
        verdict="delivered",
        request_id="request",
        platform_id=None,
        platform_name=None,
        from_party=None,
        to_party=None,
        ocpi_version=None,
        module=None,
        interface=None,
        method=None,
        object=None,
        http_status=None,
        ocpi_status=None,
        detail=None,
        elapsed_ms=took_ms,
    )


def test_what_is_not_the_partners_time_is_the_hubs() -> None:
    told = tell("c", [_step("relay", ended_ms=45, took_ms=40), _step("ingress", ended_ms=50, took_ms=50)])

    assert (told.began_at, told.total_ms, told.partner_ms, told.hub_ms) == (NOON, 50, 40, 10)


def test_partners_asked_side_by_side_count_once() -> None:
    legs = [_step("relay", ended_ms=30, took_ms=20), _step("relay", ended_ms=40, took_ms=20)]

    told = tell("c", [*legs, _step("ingress", ended_ms=50, took_ms=50)])

    assert (told.partner_ms, told.hub_ms) == (30, 20)


def test_a_call_after_the_caller_had_its_answer_is_not_his_wait() -> None:
    told = tell("c", [_step("ingress", ended_ms=10, took_ms=10), _step("relay", ended_ms=200, took_ms=50)])

    assert (told.total_ms, told.partner_ms, told.hub_ms) == (10, 0, 10)


@pytest.mark.parametrize("took_ms", [None, 5.0])
def test_without_an_answer_told_no_times_are_made_up(took_ms: float | None) -> None:
    told = tell("c", [_step("relay", ended_ms=10, took_ms=took_ms)])

    assert (told.total_ms, told.partner_ms, told.hub_ms) == (None, None, None)
