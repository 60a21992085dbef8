"""Offsets advance over records that all receivers released, and never past one that somebody still needs."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.delivery.window import Window
from hub.model.delivery import Receiver
from hub.ocpi.parties import PartyId

ONE, TWO, THREE = (Receiver(f"p{n}", PartyId("NL", f"MS{n}")) for n in range(3))


def test_before_the_first_record_there_is_nothing_to_commit() -> None:
    assert Window().to_commit() is None


def test_a_record_without_receivers_is_released_at_once() -> None:
    window = Window()
    window.add(7, ())

    assert window.to_commit() == 8


def test_an_offset_waits_for_every_receiver_of_every_earlier_record() -> None:
    window = Window()
    window.add(3, (ONE, TWO))
    window.add(4, (ONE,))

    window.release(4, ONE)
    window.release(3, ONE)
    assert (window.to_commit(), window.unreleased) == (3, 1)
    window.release(3, TWO)
    assert (window.to_commit(), window.unreleased) == (5, 0)


def test_gaps_in_the_offsets_hold_nothing_up() -> None:
    window = Window()
    window.add(3, (ONE,))
    window.add(9, ())
    window.release(3, ONE)

    assert window.to_commit() == 10


def test_what_is_committed_is_not_committed_again() -> None:
    window = Window()
    window.add(3, ())
    window.committed(4)
    assert window.to_commit() is None

    window.add(4, (ONE,))
    assert window.to_commit() is None
    window.release(4, ONE)
    assert window.to_commit() == 5


def test_a_release_may_come_twice_or_for_a_record_that_is_not_here() -> None:
    window = Window()
    window.add(3, (ONE, TWO))
    window.release(3, ONE)
    window.release(3, ONE)
    window.release(2, ONE)
    window.release(99, ONE)

    assert window.to_commit() == 3


class WindowMachine(RuleBasedStateMachine):
    """Against a list of all records with those who still need each."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.records: list[tuple[int, set[Receiver]]] = []
        self.last_commit = -1

    @rule(gap=st.integers(1, 3), receivers=st.sets(st.sampled_from([ONE, TWO, THREE])))
    def add(self, gap: int, receivers: set[Receiver]) -> None:
        offset = self.records[-1][0] + gap if self.records else 5
        self.window.add(offset, receivers)
        self.records.append((offset, set(receivers)))

    @precondition(lambda self: self.records)
    @rule(data=st.data(), receiver=st.sampled_from([ONE, TWO, THREE]))
    def release(self, data: st.DataObject, receiver: Receiver) -> None:
        offset, needed_by = data.draw(st.sampled_from(self.records))
        needed_by.discard(receiver)
        self.window.release(offset, receiver)

    @rule(succeeds=st.booleans())
    def commit(self, succeeds: bool) -> None:
        offset = self.window.to_commit()
        if offset is None:
            return
        assert offset > self.last_commit
        if succeeds:
            self.window.committed(offset)
            self.last_commit = offset

    @invariant()
    def what_may_be_committed_is_covered(self) -> None:
        needed = [offset for offset, needed_by in self.records if needed_by]
        assert self.window.unreleased == len(needed)
        may = self.window.to_commit()
        if not self.records:
            assert may is None
            return
        reached = needed[0] if needed else self.records[-1][0] + 1
        assert max(may if may is not None else -1, self.last_commit) == max(reached, self.last_commit)
        assert self.last_commit <= reached


TestWindowMachine = WindowMachine.TestCase
TestWindowMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
