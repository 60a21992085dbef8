"""A lane keeps order per object, merges what waits and lets no owner wait for another."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub.delivery.content import current_content, raw_content
from hub.delivery.lane import Lane
from hub.model.delivery import Entry, Place
from hub.model.unit import UnitKey
from tests.unit.routing_objects import an_envelope
from tests.unit.unit_objects import Held, a_location, a_push, an_evse, at


def an_entry(offset: int, path: str = "L1", *, owner: str = "CP1", method: str = "PATCH", **changes: Any) -> Entry:
    """A record about a Location or EVSE of NL/owner."""
    object_id, _, evse_uid = path.partition("/")
    fields: dict[str, Any] = {
        "key": UnitKey("locations", "NL", owner, object_id, evse_uid),
        "place": Place(0, offset),
        "envelope": an_envelope(module="locations", method=method, tail=f"NL/{owner}/{path}", body=b"12345"),
        "is_raw": True,
        "replaces_all": not evse_uid and method != "PATCH",
    }
    return Entry(**(fields | changes))


def offset_of(entry: Entry) -> int:
    """Where the record of an entry stands."""
    assert entry.place is not None
    return entry.place.offset


@dataclass
class Watched:
    """A lane and what it released."""

    released: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lane = Lane(lambda place: self.released.append(place.offset))

    def offer(self, *entries: Entry) -> None:
        for entry in entries:
            self.lane.offer(entry)

    def take(self, limit: int = 8) -> Entry:
        entry = self.lane.take(limit)
        assert entry is not None
        return entry

    def take_all(self) -> list[Entry]:
        """Take and deliver until nothing waits."""
        taken = []
        while (entry := self.lane.take(8)) is not None:
            taken.append(entry)
            self.lane.done(entry)
        return taken


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_records_of_one_object_go_one_after_another(watched: Watched) -> None:
    watched.offer(an_entry(0, "L1/E1"), an_entry(1, "L1/E2"), an_entry(2, "L1"))

    first = watched.take()
    assert watched.lane.take(8) is None
    watched.lane.done(first)

    assert [offset_of(first), *(offset_of(entry) for entry in watched.take_all())] == [0, 1, 2]


def test_records_of_different_objects_go_side_by_side_up_to_the_limit(watched: Watched) -> None:
    watched.offer(*(an_entry(n, f"L{n}") for n in range(5)))

    taken = [watched.lane.take(3) for _ in range(5)]

    assert [offset_of(entry) if entry else None for entry in taken] == [0, 1, 2, None, None]


def test_a_second_record_of_a_waiting_unit_takes_its_place_as_current(watched: Watched) -> None:
    watched.offer(an_entry(0, "L1/E1"), an_entry(1, "L1/E2"), an_entry(2, "L1/E1"))

    assert watched.released == [0]
    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(2, False), (1, True)]


def test_a_unit_that_changes_faster_than_it_can_be_sent_does_not_lose_its_turn(watched: Watched) -> None:
    watched.offer(*(an_entry(n, f"L1/E{n}") for n in range(3)))
    served = []
    for turn in range(3):
        entry = watched.take()
        served.append(entry.key.evse_uid)
        watched.lane.done(entry)
        watched.offer(*(an_entry(3 + turn * 3 + n, f"L1/E{n}") for n in range(3)))

    assert served == ["E0", "E1", "E2"]


def test_a_whole_location_takes_the_place_of_all_that_waits_for_its_parts(watched: Watched) -> None:
    watched.offer(an_entry(0, "L1/E1"), an_entry(1, "L1/E2"), an_entry(2, method="PUT"), an_entry(3, "L1/E1"))

    assert watched.released == [0, 1]
    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(2, True), (3, True)]


def test_a_patch_of_a_location_leaves_its_evses_in_line(watched: Watched) -> None:
    watched.offer(an_entry(0, "L1/E1"), an_entry(1))

    assert [offset_of(entry) for entry in watched.take_all()] == [0, 1]


def test_a_patch_of_a_location_that_brings_all_evses_takes_their_place(watched: Watched) -> None:
    watched.offer(an_entry(0, "L1/E1"), an_entry(1, replaces_all=True), an_entry(2, "L1/E1"))

    assert watched.released == [0]
    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(1, True), (2, True)]


def test_what_is_under_way_is_not_replaced(watched: Watched) -> None:
    watched.offer(an_entry(0))
    first = watched.take()
    watched.offer(an_entry(1))

    assert watched.released == []
    watched.lane.done(first)
    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(1, True)]


def test_patches_of_something_unknown_are_never_merged(watched: Watched) -> None:
    watched.offer(*(an_entry(n, "L1/E1", is_loose=True) for n in range(2)), an_entry(2, method="PUT"))

    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(0, True), (1, True), (2, True)]


def test_after_trouble_a_record_waits_in_front_of_its_object(watched: Watched) -> None:
    watched.offer(an_entry(0, "L1/E1"), an_entry(1, "L1/E2"))
    watched.lane.again(watched.take(), 5.0)
    watched.lane.again(watched.take(), 9.0)

    retried = watched.take()
    assert (offset_of(retried), retried.tried_at, retried.is_raw) == (0, 5.0, True)
    watched.lane.done(retried)
    assert [offset_of(entry) for entry in watched.take_all()] == [1]


def test_after_trouble_a_later_record_of_the_unit_takes_the_turn_as_current(watched: Watched) -> None:
    watched.offer(an_entry(0, "L1/E1"))
    entry = watched.take()
    watched.offer(an_entry(1, "L1/E2"), an_entry(2, "L1/E1"))
    watched.lane.again(entry, 0.0)

    assert watched.released == [0]
    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(2, False), (1, True)]


def test_after_trouble_a_record_gives_way_to_the_whole_location(watched: Watched) -> None:
    watched.offer(an_entry(0, "L1/E1"))
    entry = watched.take()
    watched.offer(an_entry(1, method="PUT"))
    watched.lane.again(entry, 0.0)

    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(1, True)]


def test_a_patch_that_names_all_evses_does_not_stand_for_the_location_that_was_not_delivered(watched: Watched) -> None:
    watched.offer(an_entry(0, method="PUT"))
    entry = watched.take()
    watched.offer(an_entry(1, method="PATCH", replaces_all=True))
    watched.lane.again(entry, 0.0)

    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(1, False)]


def test_no_older_bytes_follow_a_newer_current_state(watched: Watched) -> None:
    watched.offer(an_entry(0).as_current(), an_entry(1, "L1/E1"))
    location = watched.take()
    watched.lane.shows(location, 2)
    watched.lane.done(location)

    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(1, False)]


def test_after_trouble_nothing_goes_before_what_it_builds_on(watched: Watched) -> None:
    watched.offer(an_entry(0, method="PUT"))
    entry = watched.take()
    watched.offer(an_entry(1, "L1/E1"), an_entry(2))
    watched.lane.again(entry, 0.0)

    assert [(offset_of(entry), entry.is_raw) for entry in watched.take_all()] == [(2, False), (1, True)]


def test_owners_take_turns(watched: Watched) -> None:
    watched.offer(*(an_entry(n, f"L{n}", owner="CP1") for n in range(4)))
    watched.offer(an_entry(4, owner="CP2"), an_entry(5, owner="CP3"), an_entry(6, "L2", owner="CP3"))

    owners = [entry.key.party_id for entry in watched.take_all()]

    assert owners == ["CP1", "CP2", "CP3", "CP1", "CP3", "CP1", "CP1"]


def test_an_owner_that_storms_one_object_does_not_hold_up_the_other_owners(watched: Watched) -> None:
    watched.offer(*(an_entry(n, f"L1/E{n}", owner="CP1") for n in range(50)))
    watched.offer(an_entry(50, owner="CP2"))

    assert [entry.key.party_id for entry in watched.take_all()[:2]] == ["CP1", "CP2"]


def test_what_waits_is_counted_with_its_bytes(watched: Watched) -> None:
    watched.offer(an_entry(0, "L1"), an_entry(1, "L2"), an_entry(2, "L2"))
    assert (watched.lane.waiting, watched.lane.waiting_bytes, watched.lane.coalesced) == (2, 5, 1)

    watched.take_all()
    assert (watched.lane.waiting, watched.lane.waiting_bytes, watched.lane.is_idle) == (0, 0, True)


def test_what_is_withdrawn_is_released_by_who_withdrew_it(watched: Watched) -> None:
    watched.offer(*(an_entry(n, f"L{n % 2}/E{n}") for n in range(4)))
    under_way = watched.take()

    gone = watched.lane.withdraw()
    assert (len(gone), watched.released, watched.lane.waiting) == (3, [], 0)
    for entry in gone:
        watched.lane.release(entry)
    watched.lane.done(under_way)

    assert sorted(watched.released) == [0, 1, 2, 3]
    assert watched.lane.is_idle


EVSES = ("E1", "E2")
LIMIT = 2
KINDS = ("whole", "root", "evses", "evse", "evse", "evse", "unknown")


@dataclass
class Pushed:
    """A record of the model's log, with the units that it is about and the offset that a patch builds on."""

    entry: Entry
    touches: frozenset[UnitKey]
    base: int


class LaneMachine(RuleBasedStateMachine):
    """A lane between a real store of units and a naive receiver, which applies whatever reaches it.

    Store and lane go apart as they do in the worker: a batch is stored first and offered afterwards. A current state that was
    read in between is sent only after the offer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = Held()
        self.receiver = Held()
        self.versions: dict[UnitKey, int] = {}
        self.log: list[Pushed] = []
        self.known: set[UnitKey] = set()
        self.offered = 0
        self.released: set[int] = set()
        self.loose_arrived: list[int] = []
        self.lane = Lane(self._release)
        self.under_way: dict[UnitKey, tuple[Entry, dict[UnitKey, int], Any]] = {}
        self.minute = 0

    def _release(self, place: Place) -> None:
        assert place.offset not in self.released, "released twice"
        self.released.add(place.offset)

    @initialize()
    def begin(self) -> None:
        self.push("whole", set(EVSES), "", True)

    def _push(self, method: str, path: str, body: dict[str, Any]) -> None:
        self.minute += 1
        change = a_push(method, f"locations/{path}", {**body, "last_updated": at(self.minute)})
        target = self.held.units.get(change.target)
        made = self.held.take(change)
        envelope = an_envelope(
            module="locations", method=method, tail=f"NL/CP1/{path}", body=b"" if made.is_loose else self._body(change)
        )
        entry = Entry(
            change.target, Place(0, self.held.offset), envelope, True, change.replaces_all, is_loose=made.is_loose
        )
        self.known |= {key for key in self.held.units if key.root == change.target.root}
        touches = self.known if change.replaces_all else {change.target}
        base = -1 if change.is_whole or target is None else target.offset
        self.log.append(Pushed(entry, frozenset(touches), base))

    @staticmethod
    def _body(change: Any) -> bytes:
        return b"x" * len(change.members)

    @rule(
        kind=st.sampled_from(KINDS),
        uids=st.sets(st.sampled_from(EVSES)),
        uid=st.sampled_from(EVSES),
        at_once=st.booleans(),
    )
    def push(self, kind: str, uids: set[str], uid: str, at_once: bool) -> None:
        """A record is stored; it is offered at once, or only when a later one is."""
        evses = [an_evse(each, self.minute + 1) for each in sorted(uids)]
        if kind == "whole":
            self._push("PUT", "L1", a_location(evses=evses))
        elif kind == "root":
            self._push("PATCH", "L1", {"n": self.minute})
        elif kind == "evses":
            self._push("PATCH", "L1", {"evses": evses})
        elif kind == "unknown":
            self._push("PATCH", "L1/X", {"n": self.minute})
        else:
            is_held = UnitKey("locations", "NL", "CP1", "L1", uid) in self.held.units
            self._push("PATCH" if is_held else "PUT", f"L1/{uid}", an_evse(uid, self.minute + 1))
        if at_once:
            self.offer()

    @rule()
    def offer(self) -> None:
        for pushed in self.log[self.offered :]:
            self.lane.offer(pushed.entry)
        self.offered = len(self.log)

    @rule(uid=st.sampled_from(("", *EVSES)))
    def mark(self, uid: str) -> None:
        """A dirty mark asks for the current state of a unit, at any moment."""
        self.lane.offer_mark(UnitKey("locations", "NL", "CP1", "L1", uid))

    @rule()
    def take(self) -> None:
        entry = self.lane.take(LIMIT)
        if entry is None:
            return
        root = entry.key.root
        assert root not in self.under_way, "two requests under way for one object"
        assert len(self.under_way) < LIMIT
        self.under_way[root] = (entry, *self._arriving(entry))

    def _arriving(self, entry: Entry) -> tuple[dict[UnitKey, int], Any]:
        """What the receiver will hold of each unit, as the offset that made it; and what is sent."""
        if entry.is_raw:
            touches = self.log[offset_of(entry)].touches
            return dict.fromkeys(touches, offset_of(entry)), raw_content(entry)
        root = entry.key.root
        found = [unit for key, unit in self.held.units.items() if key == entry.key]
        if not entry.key.evse_uid:
            found += [unit for key, unit in self.held.units.items() if key.evse_uid and key.root == root]
        self.offer()
        self.lane.shows(entry, max((unit.offset for unit in found), default=-1))
        content = current_content(entry.key, found)
        if content is None:
            return {}, None
        state = {unit.key: unit.offset for unit in found}
        if not entry.key.evse_uid:
            gone = found[0].evses_offset
            state = {key: gone for key in self.known if key.evse_uid} | state
        return state, content

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), arrives=st.booleans())
    def trouble(self, data: st.DataObject, arrives: bool) -> None:
        entry, state, _ = self.under_way.pop(data.draw(st.sampled_from(sorted(self.under_way))))
        if arrives:
            self._arrive(entry, state)
        self.lane.again(entry, 1.0)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        entry, state, _ = self.under_way.pop(data.draw(st.sampled_from(sorted(self.under_way))))
        self._arrive(entry, state)
        self.lane.done(entry)

    def _arrive(self, entry: Entry, state: dict[UnitKey, int]) -> None:
        if entry.is_loose:
            self.loose_arrived.append(offset_of(entry))
            return
        if entry.is_raw:
            base = self.log[offset_of(entry)].base
            assert self.versions.get(entry.key, -1) >= base, f"a patch of {entry.key} comes before what it builds on"
        for key, version in state.items():
            assert self.versions.get(key, -1) <= version, f"{key} goes back"
            self.versions[key] = version

    @invariant()
    def what_the_receiver_lacks_is_unreleased(self) -> None:
        """After a crash the unreleased records are read again, each as the current state of its unit."""
        needed: dict[UnitKey, int] = {}
        for offset, pushed in enumerate(self.log[: self.offered]):
            if not pushed.entry.is_loose:
                needed |= dict.fromkeys(pushed.touches, offset)
        for key, offset in needed.items():
            if self.versions.get(key, -1) < offset:
                read_again = (self.log[n].entry.key for n in range(self.offered) if n not in self.released)
                assert {key, key.root} & set(read_again), f"{key}: nothing brings offset {offset} after a crash"

    @invariant()
    def the_lane_counts_what_waits(self) -> None:
        waiting = [entry for queue in self.lane._roots.values() for entry in queue.waiting.values()]
        assert self.lane.waiting == len(waiting)
        assert self.lane.waiting_bytes == sum(entry.body_bytes for entry in waiting)
        assert self.lane.in_flight == len(self.under_way)

    def teardown(self) -> None:
        self.offer()
        while self.under_way or self.lane.is_ready:
            for root in list(self.under_way):
                entry, state, _ = self.under_way.pop(root)
                self._arrive(entry, state)
                self.lane.done(entry)
            self.take()
        assert self.lane.is_idle
        assert self.released == set(range(self.offered))
        for key, unit in self.held.units.items():
            if not unit.is_incomplete:
                assert self.versions[key] == unit.offset, f"{key} did not converge"
        loose = [n for n, pushed in enumerate(self.log) if pushed.entry.is_loose]
        assert list(dict.fromkeys(self.loose_arrived)) == loose


TestLaneMachine = LaneMachine.TestCase
TestLaneMachine.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
