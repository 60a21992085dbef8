"""What a receiver holds of others' Locations and Tariffs, by the rules of OCPI and none of the hub's code.

A PATCH or an EVSE of something that it does not hold is refused as unknown, as real receivers do.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

import msgspec

Slices = dict[str, msgspec.Raw]
EVSE_SEGMENTS: Final = 4
_decoder = msgspec.json.Decoder(Slices)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.encode


class _Uid(msgspec.Struct):
    uid: str


_uid_decoder = msgspec.json.Decoder(_Uid)


class Held:
    """Objects by unit, each as JSON; EVSEs stand beside their Location."""

    def __init__(self) -> None:
        self._roots: dict[str, bytes] = {}
        self._evses: dict[str, dict[str, bytes]] = {}

    def take(self, method: str, module: str, tail: str, body: bytes) -> bool:
        """Apply a push; False where it needs an object that is not held."""
        parts = [unquote(part) for part in tail.split("/")]
        root = f"{module}/{'/'.join(parts[:3])}"
        if len(parts) > EVSE_SEGMENTS:
            return self._take_connector(method, root, parts[3], parts[4], body)
        if len(parts) == EVSE_SEGMENTS:
            return self._take_evse(method, root, parts[3], body)
        if method == "DELETE":
            self._evses.pop(root, None)
            return self._roots.pop(root, None) is not None
        if method == "PATCH":
            if root not in self._roots:
                return False
            self._roots[root] = _merged(self._roots[root], body)
            return True
        members = _decoder.decode(body)
        evses = members.pop("evses", None)
        self._roots[root] = _encode(members)
        if module == "locations":
            raws = _list_decoder.decode(evses) if evses is not None and bytes(evses) != b"null" else []
            self._evses[root] = {_uid_decoder.decode(raw).uid: bytes(raw) for raw in raws}
        return True

    def objects(self) -> Iterator[dict[str, Any]]:
        """Every object, with its EVSEs."""
        for root, raw in self._roots.items():
            made = msgspec.json.decode(raw)
            if root in self._evses:
                made["evses"] = [msgspec.json.decode(evse) for evse in self._evses[root].values()]
            yield made

    def _take_evse(self, method: str, root: str, uid: str, body: bytes) -> bool:
        evses = self._evses.get(root)
        if evses is None or (method == "PATCH" and uid not in evses):
            return False
        evses[uid] = _merged(evses[uid], body) if method == "PATCH" else body
        return True

    def _take_connector(self, method: str, root: str, uid: str, connector_id: str, body: bytes) -> bool:
        held = self._evses.get(root, {}).get(uid)
        if held is None:
            return False
        evse = msgspec.json.decode(held)
        connectors = {connector["id"]: connector for connector in evse["connectors"]}
        if method == "PATCH" and connector_id not in connectors:
            return False
        pushed = msgspec.json.decode(body)
        connectors[connector_id] = connectors[connector_id] | pushed if method == "PATCH" else pushed
        evse |= {"connectors": list(connectors.values()), "last_updated": pushed["last_updated"]}
        self._evses[root][uid] = _encode(evse)
        return True


def _merged(held: bytes, patch: bytes) -> bytes:
    return _encode(_decoder.decode(held) | _decoder.decode(patch))
