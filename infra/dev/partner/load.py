"""Its own objects from files, kept byte for byte.

A file holds a JSON list of objects, an OCPI answer with such a list, or one object per line (`.jsonl`), gzipped or
not. What an object is follows from its fields. Objects of parties that the platform does not host are left out, so
many platforms can share one file.
"""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from infra.dev.partner.store import Name, Store
from infra.dev.partner.words import Party


class _Shape(msgspec.Struct):
    country_code: str
    party_id: str
    id: str | int | None = None
    uid: str | None = None
    type: str | None = None
    coordinates: Any = None
    elements: Any = None
    contract_id: Any = None
    kwh: Any = None
    cdr_location: Any = None


class _Envelope(msgspec.Struct):
    data: list[msgspec.Raw]


_shapes = msgspec.json.Decoder(_Shape)
_lists = msgspec.json.Decoder(list[msgspec.Raw])
_envelopes = msgspec.json.Decoder(_Envelope)


def identify(raw: bytes) -> tuple[str, Name]:
    """Tell the module and the name of an object from its fields.

    Raises:
        ValueError: it has no owner, no id, or is none of OCPI's client-owned objects.
    """
    try:
        shape = _shapes.decode(raw)
    except msgspec.DecodeError as error:
        raise ValueError(f"not an OCPI object: {error}") from error
    owner = (shape.country_code, shape.party_id)
    if shape.uid is not None and shape.contract_id is not None:
        return "tokens", Name("", (*owner, shape.uid, shape.type or "RFID"))
    if shape.id is None:
        raise ValueError("an object without an id")
    name = Name("", (*owner, str(shape.id)))
    for module, mark in (
        ("cdrs", shape.cdr_location),
        ("sessions", shape.kwh),
        ("tariffs", shape.elements),
        ("locations", shape.coordinates),
    ):
        if mark is not None:
            return module, name
    raise ValueError(f"object {shape.id!r} is no Location, Tariff, Session, CDR or Token")


def load_files(paths: Iterable[Path], parties: Iterable[Party], own: Store) -> int:
    """Put every object that these parties own into the store, unless it is there already; say how many those were.

    Raises:
        ValueError: a file that cannot be read, with its name.
    """
    ours = {party.key for party in parties}
    taken = 0
    for path in paths:
        try:
            for raw in _objects(path):
                module, name = identify(raw)
                if Party(name.parts[0], name.parts[1]).key in ours and own.get(module, name) is None:
                    own.put(module, name, raw)
                    taken += 1
        except (OSError, EOFError, msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
    return taken


def _objects(path: Path) -> Iterator[bytes]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".jsonl" in path.suffixes:
        yield from (line for line in content.splitlines() if line.strip())
    elif content.lstrip()[:1] == b"{":
        yield from (bytes(raw) for raw in _envelopes.decode(content).data)
    else:
        yield from (bytes(raw) for raw in _lists.decode(content))
