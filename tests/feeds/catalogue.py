"""Which files of the folder are feeds, and how the objects in each are read.

Every file below `ndw-nl` and `feeds` is either read or left out for a stated reason: a new file is noticed.
"""

import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

FOLDERS: Final = ("ndw-nl", "feeds")
NATIONAL: Final = "ndw-nl/"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Item:
    """One body as its owner would push it: a whole object or a PATCH, with what its URL would say of it."""

    kind: str
    body: object
    is_patch: bool = False
    address: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feed:
    """One file; `items` reads it anew."""

    name: str
    items: Callable[[], Iterator[Item]]


def feeds_in(folder: Path) -> tuple[list[Feed], list[str]]:
    """The feeds below `folder` by name, and the files that nobody says how to read."""
    names = sorted(
        path.relative_to(folder).as_posix() for top in FOLDERS for path in (folder / top).glob("*") if path.is_file()
    )
    readers = {name: _reader(name) for name in names if not _is_left_out(name)}
    feeds = [Feed(name, partial(read, folder / name)) for name, read in readers.items() if read is not None]
    return feeds, [name for name, read in readers.items() if read is None]


def _reader(name: str) -> Callable[[Path], Iterator[Item]] | None:
    return next((read for pattern, read in _READERS if fnmatch(name, pattern)), None)


def _is_left_out(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in LEFT_OUT)


def _lines(path: Path) -> Iterator[Any]:
    with gzip.open(path) as lines:
        for line in lines:
            yield msgspec.json.decode(line)


def _document(path: Path) -> Any:
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return msgspec.json.decode(text.removeprefix(_BYTE_ORDER_MARK))


def _objects(kind: str, path: Path) -> Iterator[Item]:
    """The objects of a list, bare or in an OCPI envelope, or one to a line."""
    if path.name.endswith(".jsonl.gz"):
        listed = _lines(path)
    else:
        document = _document(path)
        listed = iter(document["data"] if isinstance(document, dict) else document)
    return (Item(kind, body) for body in listed)


def _changes(path: Path) -> Iterator[Item]:
    """Operations that lead from one state of the national feed to another."""
    for line in _lines(path):
        owner = {"country_code": line["country_code"], "party_id": line["party_id"], "id": line["location_id"]}
        is_evse = "evse_uid" in line
        address = {"uid": line["evse_uid"]} if is_evse else owner
        yield Item("EVSE" if is_evse else "Location", line["body"], line["op"] == "PATCH", address)


def _samples(path: Path) -> Iterator[Item]:
    """Locations cut down to one deviation each; those of other versions are left out."""
    for sample in _document(path):
        if sample["checked_against"].startswith("OCPI 2.2"):
            yield Item("Location", sample["location_trimmed"])


_READERS: Final[tuple[tuple[str, Callable[[Path], Iterator[Item]]], ...]] = (
    ("ndw-nl/*changes*.jsonl.gz", _changes),
    ("ndw-nl/*tariffs*", partial(_objects, "Tariff")),
    ("ndw-nl/*locations*", partial(_objects, "Location")),
    ("ndw-nl/*-start.json.gz", partial(_objects, "Location")),
    ("feeds/ocpi_2_2*_locations*", partial(_objects, "Location")),
    ("feeds/ocpi_2_2*_tariffs*", partial(_objects, "Tariff")),
    ("feeds/ocpi_2_2*_tokens*", partial(_objects, "Token")),
    ("feeds/quirk-samples.json", _samples),
)

LEFT_OUT: Final[Mapping[str, str]] = {
    "ndw-nl/status-events-*": "status changes as polled, no OCPI bodies",
    "feeds/ocpi_2_1_1_*": "another version of OCPI",
}
