"""What the demo replays: the recorded changes of five days, made denser, and what must be held before and after them."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from infra.dev.demo_rig import data, must
from infra.dev.demo_spread import charging_evse
from infra.dev.reference import Push, Reference

GENERATED: Final = ("CHARGING", "BLOCKED", "INOPERATIVE")
"""The statuses that are pushed before each real change of an EVSE."""


@dataclass(frozen=True, slots=True)
class Change:
    """One push of a party: what the CPO's simulator is told to send."""

    party: str
    method: str
    path: str
    body: dict[str, Any]

    @property
    def location(self) -> str:
        """The object whose pushes keep their order."""
        return "/".join(self.path.split("/")[:3])


def changes() -> list[Change]:
    """The recorded changes in their order, each real one of an EVSE after three made-up ones with clocks in between."""
    clocks = {
        _path(entry, part): part["last_updated"]
        for entry in data("wijchen-start.json.gz")
        for part in (entry, *entry["evses"])
    }
    made = []
    for recorded in data("wijchen-changes.jsonl.gz"):
        names = ("country_code", "party_id", "location_id", "evse_uid")
        path = "/".join(recorded[name] for name in names if name in recorded)
        party = f"{recorded['country_code']}/{recorded['party_id']}"
        if recorded["op"] == "PATCH" and "evse_uid" in recorded and not recorded.get("touch"):
            times = _between(clocks[path], recorded["body"]["last_updated"], len(GENERATED))
            for status, time in zip(GENERATED, times, strict=True):
                made.append(Change(party, "PATCH", path, {"status": status, "last_updated": time}))
        made.append(Change(party, recorded["op"], path, recorded["body"]))
    return made


def units(replayed: list[Change]) -> set[str]:
    """Every path that is changed: a Location, or one of its EVSEs."""
    return {change.path for change in replayed}


def before_and_after(replayed: list[Change]) -> tuple[Reference, Reference]:
    """What the specification says that is held before the replay and after it.

    Raises:
        DemoFailedError: a unit that is changed is the same before and after.
    """
    before, after = _start(), _start()
    for change in replayed:
        after.apply(Push.of(change.method, "locations", change.path, json.dumps(change.body).encode()))
    first, last = _parts(before), _parts(after)
    same = [path for path in units(replayed) if first.get(path) == last.get(path)]
    must(not same, f"{len(same)} changed units are as they were, first {same[:1]}")
    return before, after


def _start() -> Reference:
    reference = Reference()
    for module, name in (("tariffs", "wijchen-tariffs.json.gz"), ("locations", "wijchen-start.json.gz")):
        for entry in data(name):
            tail = _path(entry, entry)
            reference.apply(Push.of("PUT", module, tail, json.dumps(entry).encode()))
    path, body = charging_evse()
    reference.apply(Push.of("PATCH", "locations", path, json.dumps(body).encode()))
    return reference


def _parts(reference: Reference) -> dict[str, Any]:
    return {
        _path(entry, part): {name: value for name, value in part.items() if name != "evses"}
        for entry in reference.objects("locations")
        for part in (entry, *entry.get("evses", ()))
    }


def _path(entry: dict[str, Any], part: dict[str, Any]) -> str:
    path = f"{entry['country_code']}/{entry['party_id']}/{entry['id']}"
    return path if part is entry else f"{path}/{part['uid']}"


def _between(first: str, last: str, count: int) -> list[str]:
    begin, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    step = (end - begin) / (count + 1)
    return [(begin + step * number).strftime("%Y-%m-%dT%H:%M:%SZ") for number in range(1, count + 1)]
