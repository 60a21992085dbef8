"""When a platform counts as reachable, and when the hub looks (HC-14, HC-15, AM-39, D-10)."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.delivery.presence import Look, Pace, Presence, after_look, is_usable, look_of, next_look

T0 = datetime(2026, 6, 1, 10, tzinfo=UTC)
PACE = Pace(idle=timedelta(seconds=45), offline=timedelta(seconds=3))
LOOKS = st.lists(st.sampled_from(Look), max_size=40)


def at(seconds: float) -> datetime:
    """A moment after T0."""
    return T0 + timedelta(seconds=seconds)


def looked(presence: Presence, looks: Iterable[Look]) -> list[Presence]:
    """The standings after looks that each take no time, begun when they are due."""
    now, seen = T0, []
    for look in looks:
        now = max(now, next_look(presence, PACE) or now)
        presence = after_look(presence, look, now, now, PACE)
        seen.append(presence)
    return seen


def changes(seen: Iterable[Presence]) -> int:
    """How often the standing changed, an online platform being looked at first."""
    states = [True, *(presence.is_online for presence in seen)]
    return sum(one is not other for one, other in pairwise(states))


def test_a_platform_that_was_never_looked_at_is_looked_at_now() -> None:
    assert next_look(Presence(is_online=True), PACE) is None


def test_nobody_looks_while_calls_are_answered() -> None:
    presence = Presence(is_online=True, looked_at=T0, answered_at=at(30), failed_at=at(20))

    assert next_look(presence, PACE) == at(75)


def test_a_failed_call_makes_the_hub_look_at_once() -> None:
    presence = Presence(is_online=True, looked_at=T0, answered_at=at(30), failed_at=at(31))

    assert next_look(presence, PACE) == at(31)


def test_a_platform_that_answers_looks_but_no_calls_is_not_looked_at_all_the_time() -> None:
    presence = Presence(is_online=True, looked_at=at(30), failed_at=at(30.1))

    assert next_look(presence, PACE) == at(30.5)


def test_two_failed_looks_in_a_row_take_a_platform_offline_within_two_seconds() -> None:
    first, second = looked(Presence(is_online=True), [Look.SILENT, Look.SILENT])

    assert (first.is_online, second.is_online) == (True, False)
    assert second.changed_at == at(1.5)


def test_a_call_that_is_answered_between_two_failed_looks_keeps_a_platform_online() -> None:
    presence = after_look(Presence(is_online=True), Look.SILENT, T0, T0, PACE)
    presence = replace(presence, answered_at=at(1))

    assert after_look(presence, Look.SILENT, at(1.5), at(2), PACE).is_online


def test_a_call_that_is_answered_during_a_look_counts_more_than_the_look() -> None:
    presence = Presence(is_online=True, looked_at=T0, streak=1, answered_at=at(2))

    assert after_look(presence, Look.SILENT, at(1), at(3), PACE).streak == 0


def test_a_look_that_is_not_let_in_changes_nothing_while_calls_are_answered() -> None:
    presence = Presence(is_online=True, looked_at=T0, answered_at=at(30))

    seen = after_look(presence, Look.UNUSABLE, at(31), at(31), PACE)

    assert (seen.is_online, seen.streak) == (True, 0)


@pytest.mark.parametrize("answered_at", [None, at(-50)])
def test_looks_that_are_not_let_in_take_a_platform_offline_when_no_call_works(answered_at: datetime | None) -> None:
    presence = Presence(is_online=True, answered_at=answered_at)

    assert not looked(presence, [Look.UNUSABLE, Look.UNUSABLE])[-1].is_online


def test_looks_that_are_not_let_in_never_bring_a_platform_back() -> None:
    assert not any(seen.is_online for seen in looked(Presence(is_online=False), [Look.UNUSABLE] * 20))


def test_two_good_looks_bring_a_platform_back_within_the_offline_pace_and_a_second() -> None:
    presence = Presence(is_online=False, looked_at=T0)

    back = looked(presence, [Look.ALIVE, Look.ALIVE])[-1]

    assert back.is_online
    assert back.changed_at == at(3.2)


def test_two_looks_that_wait_in_vain_follow_each_other_at_once() -> None:
    presence = after_look(Presence(is_online=True), Look.SILENT, T0, at(2), PACE)

    assert next_look(presence, PACE) == at(1.5)
    assert not after_look(presence, Look.SILENT, at(2), at(4), PACE).is_online


def test_a_call_that_is_answered_by_an_offline_platform_makes_the_hub_look() -> None:
    assert next_look(Presence(is_online=False, looked_at=T0, answered_at=at(1)), PACE) == at(1)


@pytest.mark.parametrize("offset", range(3))
def test_a_platform_that_answers_every_third_look_changes_once(offset: int) -> None:
    looks = [Look.ALIVE if (number + offset) % 3 == 0 else Look.SILENT for number in range(60)]

    assert changes(looked(Presence(is_online=True), looks)) == 1


def test_a_platform_that_keeps_falling_off_has_to_show_more_each_time() -> None:
    presence, needed = Presence(is_online=True, changed_at=T0), []
    for _ in range(5):
        presence = looked(presence, [Look.SILENT, Look.SILENT])[-1]
        needed.append(presence.good_looks)
        while not presence.is_online:
            presence = looked(presence, [Look.ALIVE])[-1]

    assert needed == [4, 8, 8, 8, 8]


def test_a_platform_that_was_steady_comes_back_as_fast_as_ever() -> None:
    presence = Presence(is_online=True, looked_at=at(600), changed_at=T0, good_looks=8)

    assert looked(presence, [Look.SILENT, Look.SILENT])[-1].good_looks == 2


@given(LOOKS)
def test_a_standing_changes_on_no_single_look(looks: list[Look]) -> None:
    seen = [Presence(is_online=True), *looked(Presence(is_online=True), looks)]

    for number, (one, other) in enumerate(pairwise(seen)):
        if one.is_online is not other.is_online:
            assert {look is Look.ALIVE for look in looks[number - 1 : number + 1]} == {other.is_online}
            assert number >= 1


@given(LOOKS, st.booleans())
def test_the_next_look_comes_and_never_later_than_the_idle_time(looks: list[Look], is_online: bool) -> None:
    for presence in looked(Presence(is_online=is_online), looks):
        due = next_look(presence, PACE)
        assert presence.looked_at is not None
        assert due is not None
        assert presence.looked_at + timedelta(seconds=0.2) <= due <= presence.looked_at + PACE.idle


@given(LOOKS)
def test_eight_good_looks_bring_any_platform_back_and_two_silent_ones_take_any_away(looks: list[Look]) -> None:
    presence = ([Presence(is_online=True), *looked(Presence(is_online=True), looks)])[-1]

    assert looked(presence, [Look.ALIVE] * 8)[-1].is_online
    assert not looked(presence, [Look.SILENT] * 2)[-1].is_online


@pytest.mark.parametrize(
    ("http_status", "expected"), [(200, True), (404, True), (429, True), (503, True), (401, False)]
)
def test_every_answer_is_a_sign_of_life_but_one_that_does_not_take_our_token(http_status: int, expected: bool) -> None:
    assert is_usable(http_status) is expected
    assert look_of(http_status) is (Look.ALIVE if expected else Look.UNUSABLE)
