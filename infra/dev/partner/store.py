"""Objects in memory: what the platform owns, and what its parties were sent.

Every object is kept as the bytes last put. A change below it (an EVSE, a Connector, a PATCH) is merged into those
bytes, number by number without loss, and moves the `last_updated` of the parents. Names compare without case. Order
is the order of creation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from infra.dev.partner.wire import decode, encode, parse_time

BELOW: Final = (("evses", "uid"), ("connectors", "id"))


class UnknownObjectError(LookupError):
    """There is nothing under this name to change."""


@dataclass(frozen=True, slots=True)
class Name:
    """One object, and the part of it that is meant.

    `receiver` is the party it was sent to ("" for what belongs to nobody's copy); `parts` are country code, party id
    and object id, for a token also its type; `below` are an EVSE uid and a Connector id.
    """

    receiver: str
    parts: tuple[str, ...]
    below: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """The same value for every spelling of the object."""
        return tuple(part.upper() for part in (self.receiver, *self.parts))


class _Clock(msgspec.Struct):
    last_updated: Any = None


_clock_decoder = msgspec.json.Decoder(_Clock)


@dataclass(slots=True)
class Held:
    """One object as it is now. `raws` are the bytes last PUT, per part (`()` is the object itself)."""

    name: Name
    current: bytes
    raws: dict[tuple[str, ...], bytes] = field(default_factory=dict)

    @property
    def last_updated(self) -> datetime | None:
        """Read the object's own clock."""
        return parse_time(_clock_decoder.decode(self.current).last_updated)


class Store:
    """Objects by module and name."""

    def __init__(self) -> None:
        self._modules: dict[str, dict[tuple[str, ...], Held]] = {}
        self.changes = 0

    def put(self, module: str, name: Name, raw: bytes) -> bool:
        """Take these bytes as the object, or as the part of it that is named. True when it is new.

        Raises:
            UnknownObjectError: a part of an object that is not here.
        """
        self.changes += 1
        objects = self._modules.setdefault(module, {})
        held = objects.get(name.key)
        if not name.below:
            if held is None:
                objects[name.key] = Held(name, raw, {(): raw})
            else:
                held.current, held.raws = raw, {(): raw}
            return held is None
        if held is None:
            raise UnknownObjectError(f"no {module} object {'/'.join(name.parts)}")
        created = self._edit(held, name.below, lambda _old: decode(raw), may_create=True)
        held.raws[_fold(name.below)] = raw
        return created

    def take(self, module: str, held: Held) -> None:
        """Take over an object as it was held before."""
        self._modules.setdefault(module, {})[held.name.key] = held

    def patch(self, module: str, name: Name, change: dict[str, Any]) -> None:
        """Change the named fields only. A Session's new charging periods are appended.

        Raises:
            UnknownObjectError: nothing is here under that name.
        """
        held = self._modules.get(module, {}).get(name.key)
        if held is None:
            raise UnknownObjectError(f"no {module} object {'/'.join(name.parts)}")
        self.changes += 1
        self._edit(held, name.below, lambda old: _merged(module, old, change), may_create=False)

    def delete(self, module: str, name: Name) -> bool:
        """Remove an object; False when it was not here."""
        self.changes += 1
        return self._modules.get(module, {}).pop(name.key, None) is not None

    def get(self, module: str, name: Name) -> bytes | None:
        """Give an object, or the named part of it, as bytes."""
        held = self._modules.get(module, {}).get(name.key)
        if held is None:
            return None
        if not name.below:
            return held.current
        found: Any = decode(held.current)
        for (children, id_field), wanted in zip(BELOW, name.below, strict=False):
            found = _child(found, children, id_field, wanted)
            if found is None:
                return None
        return encode(found)

    def held(self, module: str) -> Iterator[Held]:
        """Walk over a module's objects, oldest first."""
        yield from self._modules.get(module, {}).values()

    def modules(self) -> dict[str, int]:
        """Count the objects of each module."""
        return {module: len(objects) for module, objects in sorted(self._modules.items())}

    def clear(self, module: str) -> int:
        """Forget a module's objects and say how many there were."""
        self.changes += 1
        return len(self._modules.pop(module, {}))

    @staticmethod
    def _edit(held: Held, below: tuple[str, ...], change: Callable[[Any], Any], *, may_create: bool) -> bool:
        root = decode(held.current)
        parents: list[Any] = [root]
        created = False
        for depth, ((children, id_field), wanted) in enumerate(zip(BELOW, below, strict=False), start=1):
            child = _child(parents[-1], children, id_field, wanted)
            if child is None:
                if not (may_create and depth == len(below)):
                    raise UnknownObjectError(f"no {children} entry {wanted}")
                created, child = True, {}
                parents[-1][children] = [*(parents[-1].get(children) or []), child]
            parents.append(child)
        target = parents.pop()
        replaced = change(target)
        target.clear()
        target.update(replaced)
        for parent in parents:
            _move_clock(parent, target.get("last_updated"))
        held.current = encode(root)
        return created


def _merged(module: str, old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = old | change
    if module == "sessions" and "charging_periods" in change:
        merged["charging_periods"] = [*(old.get("charging_periods") or []), *(change["charging_periods"] or [])]
    return merged


def _child(parent: Any, children: str, id_field: str, wanted: str) -> Any:
    for child in parent.get(children) or []:
        if isinstance(child, dict) and str(child.get(id_field)).upper() == wanted.upper():
            return child
    return None


def _fold(below: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.upper() for part in below)


def _move_clock(parent: dict[str, Any], clock: Any) -> None:
    moment, before = parse_time(clock), parse_time(parent.get("last_updated"))
    if moment is not None and (before is None or moment > before):
        parent["last_updated"] = clock
