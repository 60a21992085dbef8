"""Any history of pushes, read again from anywhere, leaves what a naive reference of whole objects holds, to the byte."""

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.model.change import Change, Result
from hub.model.unit import UnitKey
from tests.unit.unit_objects import Held, a_push, at

LOCATIONS = ("L1", "l2")
UIDS = ("E1", "e2", "")
CONNECTORS = ("1", "2")

clocks = st.integers(0, 9).map(at)
numbers = st.sampled_from(["0.60", "1e2", "-0", "12345678901234567890.10", "7"])
locations = st.sampled_from(LOCATIONS)
uids = st.sampled_from(UIDS)
connector_ids = st.sampled_from(CONNECTORS)
names = st.sampled_from(["name", "zz", "unknown_member"])


class Number(str):
    """A number by its text, so that 0.60 and 0.6 differ."""

    __slots__ = ()


def read(text: bytes | str) -> Any:
    """JSON with members in their order and numbers as they were written."""
    return json.loads(text, parse_float=Number, parse_int=Number)


class Whole:
    """Locations as whole objects; an EVSE's clock is its own `last_updated`."""

    def __init__(self) -> None:
        self.locations: dict[str, Any] = {}

    def put_location(self, location_id: str, value: dict[str, Any]) -> None:
        held = self.locations.get(location_id.upper())
        given: dict[str, Any] = {}
        for evse in value["evses"]:
            given.setdefault(evse["uid"].upper(), evse)
        if held is None:
            self.locations[location_id.upper()] = {**value, "evses": given}
            return
        is_stale = value["last_updated"] < held["last_updated"]
        evses = held["evses"]
        for uid, evse in given.items():
            if uid in evses:
                if evse["last_updated"] >= evses[uid]["last_updated"]:
                    evses[uid] = evse
            elif not is_stale or evse["last_updated"] >= held["last_updated"]:
                evses[uid] = evse
        if not is_stale:
            kept = {uid: evse for uid, evse in evses.items() if uid in given}
            self.locations[location_id.upper()] = {**value, "evses": kept}

    def patch_location(self, location_id: str, value: dict[str, Any]) -> None:
        held = self.locations.get(location_id.upper())
        if held is not None and value["last_updated"] >= held["last_updated"]:
            held.update(value)

    def put_evse(self, location_id: str, uid: str, value: dict[str, Any]) -> None:
        held = self.locations.get(location_id.upper())
        if held is None:
            return
        evse = held["evses"].get(uid.upper())
        if evse is None or value["last_updated"] >= evse["last_updated"]:
            held["evses"][uid.upper()] = value

    def patch_evse(self, location_id: str, uid: str, value: dict[str, Any]) -> None:
        evse = self._evse(location_id, uid)
        if evse is not None and value["last_updated"] >= evse["last_updated"]:
            evse.update(value)

    def change_connector(self, location_id: str, uid: str, value: dict[str, Any], *, is_patch: bool) -> None:
        evse = self._evse(location_id, uid)
        if evse is None or value["last_updated"] < evse["last_updated"]:
            return
        connectors = list(evse["connectors"])
        for place, connector in enumerate(connectors):
            if connector["id"] == value["id"]:
                connectors[place] = {**connector, **value} if is_patch else value
                break
        else:
            if is_patch:
                return
            connectors.append(value)
        evse |= {"connectors": connectors, "last_updated": value["last_updated"]}

    def _evse(self, location_id: str, uid: str) -> Any:
        held = self.locations.get(location_id.upper())
        return None if held is None else held["evses"].get(uid.upper())


def in_order(location: dict[str, Any]) -> str:
    """A Location with its members in their order and its EVSEs by uid, as text."""
    evses = location["evses"]
    listed = evses.values() if isinstance(evses, dict) else evses
    return repr({**location, "evses": sorted(listed, key=lambda evse: evse["uid"].upper())})


def an_evse(uid: str, clock: str, number: str) -> str:
    connector = f'{{"id":"1","n":{number},"last_updated":"{clock}"}}'
    return f'{{"uid":"{uid}","n":{number},"connectors":[{connector}],"last_updated":"{clock}"}}'


evse_texts = st.builds(an_evse, uids, clocks, numbers)


class Histories(RuleBasedStateMachine):
    """Pushes of every kind and level; after each the units, put together, equal the reference."""

    def __init__(self) -> None:
        super().__init__()
        self.held = Held()
        self.whole = Whole()
        self.told: list[Change] = []

    def _push(self, method: str, path: str, text: str) -> Any:
        change = a_push(method, path, text)
        self.told.append(change)
        self.held.take(change)
        return read(text)

    @rule(name=locations, clock=clocks, number=numbers, evses=st.lists(evse_texts, max_size=4))
    def put_location(self, name: str, clock: str, number: str, evses: list[str]) -> None:
        text = f'{{"last_updated":"{clock}","n":{number},"evses":[{",".join(evses)}],"id":"{name}"}}'
        self.whole.put_location(name, self._push("PUT", f"locations/{name}", text))

    @rule(name=locations, clock=clocks, member=names, number=numbers)
    def patch_location(self, name: str, clock: str, member: str, number: str) -> None:
        text = f'{{"{member}":{number},"last_updated":"{clock}"}}'
        self.whole.patch_location(name, self._push("PATCH", f"locations/{name}", text))

    @precondition(lambda self: self.whole.locations)
    @rule(name=locations, uid=st.sampled_from(UIDS[:2]), clock=clocks, number=numbers)
    def put_evse(self, name: str, uid: str, clock: str, number: str) -> None:
        if name.upper() in self.whole.locations:
            value = self._push("PUT", f"locations/{name}/{uid}", an_evse(uid, clock, number))
            self.whole.put_evse(name, uid, value)

    @rule(name=locations, uid=st.sampled_from(UIDS[:2]), clock=clocks, member=names, number=numbers)
    def patch_evse(self, name: str, uid: str, clock: str, member: str, number: str) -> None:
        text = f'{{"{member}":{number},"last_updated":"{clock}"}}'
        self.whole.patch_evse(name, uid, self._push("PATCH", f"locations/{name}/{uid}", text))

    @rule(
        name=locations,
        uid=st.sampled_from(UIDS[:2]),
        connector_id=connector_ids,
        clock=clocks,
        number=numbers,
        is_patch=st.booleans(),
    )
    def change_connector(
        self, name: str, uid: str, connector_id: str, clock: str, number: str, *, is_patch: bool
    ) -> None:
        path = f"locations/{name}/{uid}/{connector_id}"
        text = f'{{"id":"{connector_id}","n":{number},"last_updated":"{clock}"}}'
        value = self._push("PATCH" if is_patch else "PUT", path, text)
        self.whole.change_connector(name, uid, value, is_patch=is_patch)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def read_again(self, data: st.DataObject) -> None:
        """`replay_identical`: the log from anywhere on changes no unit."""
        before = dict(self.held.units)
        for offset in range(data.draw(st.integers(0, len(self.told) - 1)), len(self.told)):
            made = self.held.take(self.told[offset], offset=offset)
            assert not {Result.APPLIED, Result.REPEATED} & set(made.results)
        assert self.held.units == before

    @invariant()
    def is_the_same(self) -> None:
        complete = {key.object_id for key, unit in self.held.units.items() if not key.evse_uid and unit.raw is not None}
        assert complete == set(self.whole.locations)
        for name in complete:
            assert in_order(read(self.held.current(name))) == in_order(self.whole.locations[name])


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)


def test_an_unknown_connector_leaves_its_evse_as_it_is() -> None:
    held = Held()
    held.take(a_push("PUT", "locations/L1", f'{{"last_updated":"{at(0)}","evses":[{an_evse("E1", at(0), "1")}]}}'))
    before = held.current()

    made = held.take(a_push("PATCH", "locations/L1/E1/9", {"n": 2, "last_updated": at(1)}))

    assert made.results == (Result.INCOMPLETE,)
    assert made.is_loose
    assert held.current() == before
    assert UnitKey("locations", "NL", "CP1", "L1", "E1") in held.units
