"""What every store must hold after some pushes, worked out the plain way, and when two objects count as equal.

Clocks are compared as times; a Location's is the newest of its tree, since the hub shows it so; the order of EVSEs is
nothing.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from tests.load.feed import Operation

Comparable = dict[str, str]
"""Objects by `module/cc/party/id`, each as text that is equal for equal objects."""


class Reference:
    """Whole objects, changed by each push in turn."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Any]] = {}

    def apply(self, operations: Iterable[Operation]) -> None:
        """Apply pushes in their order."""
        for operation in operations:
            country_code, party_id, object_id, *rest = map(unquote, operation.tail.split("/"))
            key = f"{operation.module}/{country_code}/{party_id}/{object_id}"
            body = json.loads(operation.body)
            if not rest:
                self._objects[key] = body if operation.method == "PUT" else self._objects[key] | body
                continue
            (uid,) = rest
            evses = {evse["uid"]: evse for evse in self._objects[key].get("evses") or ()}
            evses[uid] = body if operation.method == "PUT" else evses[uid] | body
            self._objects[key]["evses"] = list(evses.values())

    def comparable(self, module: str) -> Comparable:
        """Its objects of a module."""
        return comparable(module, (entry for key, entry in self._objects.items() if key.startswith(f"{module}/")))


def comparable(module: str, objects: Iterable[dict[str, Any]]) -> Comparable:
    """Objects so that equal ones are equal texts; each may be there once."""
    found: Comparable = {}
    for entry in objects:
        key = f"{module}/{entry['country_code']}/{entry['party_id']}/{entry['id']}"
        assert key not in found, f"{key} is there twice"
        found[key] = json.dumps(_normal(entry), sort_keys=True)
    return found


def differences(expected: Comparable, found: Comparable) -> list[str]:
    """What is missing, too much or different, one line each."""
    lines = [f"missing {key}" for key in expected.keys() - found.keys()]
    lines += [f"unexpected {key}" for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        if expected[key] != found[key]:
            paths = _differ(json.loads(expected[key]), json.loads(found[key]), "")
            lines.append(f"{key}: {'; '.join(paths)}"[:400])
    return sorted(lines)


def _normal(entry: dict[str, Any]) -> dict[str, Any]:
    newest = max(_clocks(entry))
    made: dict[str, Any] = _timed(entry) | {"last_updated": newest.isoformat()}
    if "evses" in made:
        made["evses"] = sorted(made["evses"] or (), key=lambda evse: str(evse["uid"]))
    return made


def _timed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _moment(part).isoformat() if name == "last_updated" else _timed(part) for name, part in value.items()
        }
    return [_timed(part) for part in value] if isinstance(value, list) else value


def _clocks(value: Any) -> Iterator[datetime]:
    if isinstance(value, dict):
        if isinstance(value.get("last_updated"), str):
            yield _moment(value["last_updated"])
        for name in ("evses", "connectors"):
            for part in value.get(name) or ():
                yield from _clocks(part)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _differ(expected: Any, found: Any, path: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in sorted(expected.keys() | found.keys()):
            yield from _differ(expected.get(name, "nothing"), found.get(name, "nothing"), f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for place, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _differ(one, other, f"{path}[{place}]")
    elif expected != found:
        yield f"{path or '.'} is {found!r:.60}, expected {expected!r:.60}"
