"""What must be held after some OCPI 2.2.1 pushes, worked out from the specification alone, and how two sets of objects differ.

It shares nothing with the hub, so that the two can be held against each other. Objects are kept as JSON bytes, a Location apart
from its EVSEs: a feed of a country fits in memory, and a push costs one small object.

Sources: OCPI 2.2.1, 4.1.3 and chapters 8, 11 and 12. A push whose own clock is older than what it would change is ignored.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

LOCATIONS: Final = "locations"
Key = tuple[str, ...]
"""An object: country code, party id and id in upper case, for a Token its type as well."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_settled: Final = msgspec.json.Encoder(order="deterministic").encode
_CLOCKS: Final = frozenset({"last_updated", "start_date_time", "end_date_time", "expected_end", "period_begin"})
_MISSING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Push:
    """One request to a Receiver interface. `path` is what follows the endpoint, decoded; `kind` is a Token's type."""

    method: str
    module: str
    path: tuple[str, ...]
    body: bytes = b""
    kind: str = ""

    @classmethod
    def of(cls, method: str, module: str, tail: str, body: bytes = b"", query: str = "") -> "Push":
        """The push of a raw path below the endpoint, and of a raw query."""
        path = tuple(unquote(part) for part in tail.strip("/").split("/"))
        kind = parse_qs(query).get("type", ["RFID"])[0] if module == "tokens" else ""
        return cls(method, module, path, body, kind)

    @property
    def key(self) -> Key:
        """The root object that it is about."""
        parts = (*self.path[:3], self.kind) if self.kind else self.path[:3]
        return tuple(part.upper() for part in parts)


@dataclass(slots=True)
class _Unit:
    """What changes on its own: its JSON (None: deleted) and the clock that it was last pushed with."""

    raw: bytes | None
    clock: float


@dataclass(slots=True)
class _Held:
    root: _Unit
    evses: dict[str, _Unit] = field(default_factory=dict)


class Reference:
    """Objects by module, changed by one push after the other."""

    def __init__(self) -> None:
        self._modules: dict[str, dict[Key, _Held]] = {}

    def apply(self, push: Push, arrived_at: datetime | None = None) -> bool:
        """Take one push; False when it changed nothing because it is stale. A clock later than the arrival counts as the arrival.

        Raises:
            LookupError: a part or a change of something that is not here.
        """
        objects = self._modules.setdefault(push.module, {})
        held = objects.get(push.key)
        if push.method == "DELETE":
            objects[push.key] = _Held(_Unit(None, held.root.clock if held else 0.0))
            return True
        body = _decode(push.body)
        latest = arrived_at.timestamp() if arrived_at else float("inf")
        if len(push.path) > 3:
            if held is None or held.root.raw is None:
                raise LookupError(f"no {push.module} object {'/'.join(push.path[:3])}")
            return _change_evse(held, push, body, latest)
        if held is None:
            held = objects[push.key] = _Held(_Unit(None, 0.0))
        return _change_root(held, push, body, latest)

    def objects(self, module: str) -> Iterator[dict[str, Any]]:
        """Whole objects as they are now, a Location with its EVSEs and with its own clock as pushed."""
        for held in self._modules.get(module, {}).values():
            if held.root.raw is not None:
                root: dict[str, Any] = _decode(held.root.raw)
                if held.evses:
                    root["evses"] = [_decode(unit.raw) for unit in held.evses.values() if unit.raw is not None]
                yield root


def _change_root(held: _Held, push: Push, body: dict[str, Any], latest: float) -> bool:
    evses = None
    if push.module == LOCATIONS and ("evses" in body or push.method == "PUT"):
        evses = body.get("evses") or []
        if "evses" in body:
            body = {**body, "evses": []}
    before = held.root.clock
    clock = min(_clock(body, latest), latest)
    is_stale = clock < before
    if not is_stale:
        held.root = _Unit(_changed(held.root.raw, push, body), clock)
    changed = not is_stale
    if evses is not None:
        changed |= _replace_evses(held, evses, before if is_stale else None, latest)
    return changed


def _replace_evses(held: _Held, evses: list[dict[str, Any]], stale_below: float | None, latest: float) -> bool:
    """Each EVSE by its own clock; those that are not named go, unless the Location itself is stale (`stale_below`)."""
    changed = False
    named: dict[str, _Unit] = {}
    for evse in evses:
        uid = str(evse["uid"]).upper()
        if uid in named:
            continue
        clock, now = min(_clock(evse, latest), latest), held.evses.get(uid)
        oldest = now.clock if now else stale_below
        if oldest is not None and clock < oldest:
            if now:
                named[uid] = now
            continue
        named[uid] = _Unit(_encode(evse), clock)
        changed = True
    held.evses = named if stale_below is None else {**held.evses, **named}
    return changed


def _change_evse(held: _Held, push: Push, body: dict[str, Any], latest: float) -> bool:
    uid = push.path[3].upper()
    unit = held.evses.get(uid)
    clock = min(_clock(body, latest), latest)
    if unit is not None and clock < unit.clock:
        return False
    if len(push.path) == 5:
        body = _with_connector(unit, push, body)
        held.evses[uid] = _Unit(_encode(body), clock)
    else:
        held.evses[uid] = _Unit(_changed(unit.raw if unit else None, push, body), clock)
    return True


def _with_connector(unit: _Unit | None, push: Push, body: dict[str, Any]) -> dict[str, Any]:
    """The EVSE with one Connector put or changed, and with the Connector's clock."""
    if unit is None or unit.raw is None:
        raise LookupError(f"no EVSE {'/'.join(push.path[:4])}")
    evse: dict[str, Any] = _decode(unit.raw)
    connectors: list[dict[str, Any]] = list(evse.get("connectors") or [])
    place = next((at for at, one in enumerate(connectors) if str(one["id"]).upper() == push.path[4].upper()), None)
    if push.method == "PATCH":
        if place is None:
            raise LookupError(f"no Connector {'/'.join(push.path)}")
        body = {**connectors[place], **body}
    if place is None:
        connectors.append(body)
    else:
        connectors[place] = body
    return {**evse, "connectors": connectors, "last_updated": body["last_updated"]}


def _changed(raw: bytes | None, push: Push, body: dict[str, Any]) -> bytes:
    """A PUT is the new object; a PATCH gives the members that it names, a list as a whole."""
    if push.method == "PUT":
        return _encode(body)
    if raw is None:
        raise LookupError(f"no {push.module} object {'/'.join(push.path)} to patch")
    return _encode({**_decode(raw), **body})


def _clock(body: dict[str, Any], missing: float) -> float:
    text = body.get("last_updated")
    return _moment(text).timestamp() if isinstance(text, str) else missing


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where an object is not as expected; `path` is a JSON path, an EVSE named by its uid."""

    object: str
    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.object} {self.path}: expected {self.expected:.80}, found {self.found:.80}"


def differences(
    module: str, expected: Iterable[dict[str, Any]], found: Iterable[dict[str, Any]], *, most: int = 1000
) -> list[Difference]:
    """Where two sets of whole objects differ: at most so many, so that two wholly different sets stay readable.

    Numbers count as numbers and clocks as times. A Location's own clock is on both sides the newest of its tree; the order of
    EVSEs means nothing.
    """
    wanted = {_key(entry): entry for entry in expected}
    differing: list[Difference] = []
    seen: set[Key] = set()
    for entry in found:
        key = _key(entry)
        name = f"{module}/{'/'.join(key)}"
        if key in seen:
            differing.append(Difference(name, "$", "it once", "it twice"))
        elif key not in wanted:
            differing.append(Difference(name, "$", _MISSING, "an object"))
        else:
            differing += _compare_objects(name, wanted[key], entry)
        seen.add(key)
        if len(differing) >= most:
            return differing[:most]
    differing += [
        Difference(f"{module}/{'/'.join(key)}", "$", "an object", _MISSING) for key in wanted if key not in seen
    ]
    return differing[:most]


def _key(entry: dict[str, Any]) -> Key:
    if "uid" in entry:
        return tuple(str(entry[name]).upper() for name in ("country_code", "party_id", "uid", "type"))
    return tuple(str(entry[name]).upper() for name in ("country_code", "party_id", "id"))


def _compare_objects(name: str, expected: dict[str, Any], found: dict[str, Any]) -> list[Difference]:
    if _settled(expected) == _settled(found):
        return []
    pairs = _differ(_rolled_up(expected), _rolled_up(found), "$", "")
    return [Difference(name, path, wanted, seen) for path, wanted, seen in pairs]


def _rolled_up(entry: dict[str, Any]) -> dict[str, Any]:
    """A Location with the newest clock of its tree, its EVSEs by uid; anything else as it is."""
    if not entry.get("evses"):
        return entry
    clocks = list(_clocks(entry))
    evses = {str(evse["uid"]).upper(): evse for evse in entry["evses"]}
    return {**entry, "evses": evses, "last_updated": max(clocks, key=_moment)} if clocks else {**entry, "evses": evses}


def _clocks(part: dict[str, Any]) -> Iterator[str]:
    if isinstance(part.get("last_updated"), str):
        yield part["last_updated"]
    for children in ("evses", "connectors"):
        for child in part.get(children) or ():
            yield from _clocks(child)


def _differ(expected: Any, found: Any, path: str, member: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in sorted(expected.keys() | found.keys()):
            if name not in expected or name not in found:
                yield f"{path}.{name}", repr(expected.get(name, _MISSING)), repr(found.get(name, _MISSING))
            else:
                yield from _differ(expected[name], found[name], f"{path}.{name}", name)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for place, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _differ(one, other, f"{path}[{place}]", member)
    elif not _are_equal(expected, found, member):
        yield path, repr(expected), repr(found)


def _are_equal(expected: Any, found: Any, member: str) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if member in _CLOCKS and isinstance(expected, str) and isinstance(found, str):
        return expected == found or _moment(expected) == _moment(found)
    return bool(expected == found)
