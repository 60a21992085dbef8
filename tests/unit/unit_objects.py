"""Builders for tests of units: pushes as changes, and a store of units in memory that they are applied to."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hub.model.change import Applied, Change, Position, State, apply
from hub.model.unit import Unit, UnitKey, assemble
from hub.routing.push import read_push
from tests.unit.routing_objects import an_envelope

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
"""When records arrive, unless a test says otherwise: after every clock."""


def at(minute: int) -> str:
    """A clock some minutes after noon."""
    return (NOON + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


def an_evse(uid: str = "E1", minute: int = 0, **fields: Any) -> dict[str, Any]:
    """An EVSE with one Connector."""
    connectors = [{"id": "1", "max_voltage": 230, "last_updated": at(minute)}]
    return {"uid": uid, "status": "AVAILABLE", "connectors": connectors, "last_updated": at(minute), **fields}


def a_location(minute: int = 0, **fields: Any) -> dict[str, Any]:
    """A Location of NL/CP1 with one EVSE."""
    return {"id": "L1", "city": "Wijchen", "evses": [an_evse(minute=minute)], "last_updated": at(minute), **fields}


def a_push(method: str, path: str, body: Any = None, *, query: str = "", platform_id: str = "p1") -> Change:
    """The change of a push below NL/CP1; `body` is JSON text or what becomes it, `path` `module/id…`."""
    module, _, rest = path.partition("/")
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    return read_push(
        an_envelope(
            module=module,
            method=method,
            tail=f"NL/CP1/{rest}",
            query=query,
            body=text.encode(),
            platform_id=platform_id,
        )
    )


@dataclass
class Held:
    """Units in memory, changed push by push as the store changes them batch by batch."""

    epoch: str = "log"
    units: dict[UnitKey, Unit] = field(default_factory=dict)
    offset: int = -1

    def take(self, change: Change, *, offset: int | None = None, arrived: datetime = LATER) -> Applied:
        """Apply one push at the next offset, or at one that came before."""
        if offset is None:
            self.offset += 1
            offset = self.offset
        state = State(self.units.values())
        made = apply(change, Position(self.epoch, offset, arrived), state)
        for key in state.removed:
            del self.units[key]
        for key in state.changed:
            unit = state.get(key)
            assert unit is not None
            self.units[key] = unit
        return made

    def unit(self, *ids: str, module: str = "locations") -> Unit:
        """One unit of NL/CP1."""
        return self.units[UnitKey(module, "NL", "CP1", *ids)]

    def current(self, object_id: str = "L1", module: str = "locations", *, roll_up: bool = False) -> bytes:
        """A whole object of NL/CP1."""
        root = self.unit(object_id, module=module)
        evses = [unit for key, unit in self.units.items() if key.evse_uid and key.root == root.key]
        return assemble(root, evses, roll_up=roll_up)

    def object(self, object_id: str = "L1", module: str = "locations", *, roll_up: bool = False) -> Any:
        """A whole object of NL/CP1 as parsed JSON."""
        return json.loads(self.current(object_id, module, roll_up=roll_up))
