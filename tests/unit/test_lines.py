"""When a receiver falls behind: compared with the others, or with its own pace where it is alone."""

from hub.delivery.health import Health
from hub.delivery.lane import Lane
from hub.model.delivery import Receiver
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId
from workers.lines import Line, falls_behind


def a_line(waiting: int, pace: float = 0.01) -> Line:
    lane = Lane(lambda _: None)
    for number in range(waiting):
        lane.offer_mark(UnitKey("locations", "NL", "CPO", f"L{number}", ""))
    line = Line(Receiver("platform", PartyId("NL", "MSP")), lane, Health())
    for _ in range(100):
        line.answered_in(pace)
    return line


def behind(line: Line, *others: Line) -> bool:
    return falls_behind(line, [line, *others], 8)


def test_what_waits_for_all_alike_is_nobodys_fault() -> None:
    assert not behind(a_line(100), a_line(90), a_line(110))
    assert not behind(a_line(100), a_line(60))


def test_who_has_more_than_twice_what_the_others_have_falls_behind() -> None:
    assert behind(a_line(100), a_line(3), a_line(2), a_line(90))


def test_lanes_in_which_nothing_waits_say_nothing() -> None:
    assert not behind(a_line(100), a_line(0), a_line(0), a_line(90))


def test_who_is_alone_falls_behind_when_it_needs_more_than_a_minute() -> None:
    assert not behind(a_line(500, pace=0.5))
    assert behind(a_line(500, pace=1.0))
