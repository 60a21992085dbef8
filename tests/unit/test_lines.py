"""When a receiver falls behind: compared with the others, or with its own pace where it is alone."""

from hub.delivery.health import Health
from hub.delivery.lane import Lane
from hub.model.delivery import Receiver
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId
from workers.lines import Line, falls_behind

NOW = 1000.0


def a_line(waiting: int, pace: float = 0.01, taken: float = 100, moved_at: float = NOW) -> Line:
    lane = Lane(lambda _: None)
    for number in range(waiting):
        lane.offer_mark(UnitKey("locations", "NL", "CPO", f"L{number}", ""))
    line = Line(Receiver("platform", PartyId("NL", "MSP")), lane, Health())
    for _ in range(100):
        line.answered_in(pace, moved_at)
    line.taken = taken
    return line


def behind(line: Line, *others: Line, rate: float | None = None) -> bool:
    return falls_behind(line, [line, *others], NOW, 8, rate)


def test_what_waits_for_all_alike_is_nobodys_fault() -> None:
    assert not behind(a_line(100), a_line(90), a_line(110))
    assert not behind(a_line(100), a_line(60))


def test_who_has_more_than_twice_what_its_equals_have_falls_behind() -> None:
    assert behind(a_line(100), a_line(3), a_line(2), a_line(90))
    assert behind(a_line(100), a_line(0))


def test_who_is_sent_much_less_says_nothing_of_it() -> None:
    assert not behind(a_line(100), a_line(0, taken=3), a_line(0, taken=0), a_line(90))


def test_who_is_alone_falls_behind_when_it_needs_longer_than_a_delivery_may_take() -> None:
    assert not behind(a_line(100, pace=1.0))
    assert behind(a_line(150, pace=1.0))


def test_who_is_alone_and_held_by_its_rate_falls_behind() -> None:
    assert not behind(a_line(50), rate=5)
    assert behind(a_line(100), rate=5)


def test_who_is_alone_and_silent_falls_behind() -> None:
    line = a_line(100, moved_at=NOW - 2)
    assert not behind(line)
    line.lane.take(8)
    assert behind(line)


def test_who_is_in_trouble_falls_behind() -> None:
    line = a_line(100)
    line.health.trouble(NOW, began=NOW)
    assert behind(line, a_line(100))
