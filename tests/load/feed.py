"""The Dutch feed as pushes: the objects of a day, then what changed until five days later.

Before each real change of an EVSE that is at least four seconds newer than what it changes stand three made-up ones, with clocks
in between and spread over the file: the feed tells only the last state of each unit, real charge points tell every one.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

_LOCATIONS: Final = "locations-2026-06-02.jsonl.gz"
_TARIFFS: Final = "tariffs-2026-06-07.jsonl.gz"
_CHANGES: Final = "changes-2026-06-02_to_2026-06-07.jsonl.gz"
_MADE_UP: Final = ("CHARGING", "BLOCKED", "AVAILABLE")
_LEAST: Final = timedelta(seconds=len(_MADE_UP) + 1)


@dataclass(frozen=True, slots=True)
class Operation:
    """One push: by which party, to which unit, and its body as bytes."""

    party: str
    method: str
    module: str
    tail: str
    body: bytes

    @property
    def unit(self) -> str:
        """The unit that it changes, as the URL names it."""
        return f"{self.module}/{self.tail}"

    @property
    def lane(self) -> int:
        """The same number for every push of one object: they are sent one after the other."""
        return zlib.crc32("/".join(self.tail.split("/")[:3]).encode())


@dataclass(frozen=True, slots=True)
class Feed:
    """Everything that is pushed, in order."""

    tariffs: list[Operation]
    locations: list[Operation]
    changes: list[Operation]
    spread: int
    """How many real changes have made-up ones before them."""

    @property
    def parties(self) -> list[str]:
        """Who pushes, the largest first."""
        counts: dict[str, int] = {}
        for operation in (*self.tariffs, *self.locations, *self.changes):
            counts[operation.party] = counts.get(operation.party, 0) + 1
        return sorted(counts, key=lambda party: -counts[party])


def read_feed(folder: Path, locations: int | None = None, changes: int | None = None) -> Feed:
    """Read the feed; of a part of it, the objects are chosen by their ids and the changes are those of them."""
    every = list(_lines(folder / _LOCATIONS))
    share = 1 if locations is None else max(1, round(len(every) / locations))
    starts = [entry for entry in every if _is_chosen(entry, entry["id"], share)]
    tariffs = [entry for entry in _lines(folder / _TARIFFS) if _is_chosen(entry, entry["id"], share)]
    real = [entry for entry in _lines(folder / _CHANGES) if _is_chosen(entry, entry["location_id"], share)][:changes]
    spread, count = _with_made_up(starts, real)
    return Feed([_whole("tariffs", x) for x in tariffs], [_whole("locations", x) for x in starts], spread, count)


def _is_chosen(entry: dict[str, Any], object_id: str, share: int) -> bool:
    return zlib.crc32(f"{entry['country_code']}{entry['party_id']}{object_id}".encode()) % share == 0


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path) as file:
        for line in file:
            yield json.loads(line)


def _with_made_up(starts: list[dict[str, Any]], real: list[dict[str, Any]]) -> tuple[list[Operation], int]:
    """The real changes in order, each made-up one at a quarter, a half and three quarters of the way to its own."""
    clocks = {
        (start["country_code"], start["party_id"], start["id"], evse["uid"]): _moment(evse["last_updated"])
        for start in starts
        for evse in start.get("evses") or ()
    }
    placed: list[tuple[float, Operation]] = []
    count = 0
    for place, entry in enumerate(real):
        placed.append((place, _change(entry)))
        key = (entry["country_code"], entry["party_id"], entry["location_id"], entry.get("evse_uid"))
        if entry["op"] != "PATCH" or entry.get("touch") or key not in clocks:
            continue
        begins, ends = clocks[key], _moment(entry["body"]["last_updated"])
        if ends - begins < _LEAST:
            continue
        count += 1
        for number, status in enumerate(_MADE_UP, 1):
            part = number / (len(_MADE_UP) + 1)
            body = {"status": status, "last_updated": _text(begins + (ends - begins) * part)}
            placed.append((place * part - 0.5, _change({**entry, "body": body})))
    placed.sort(key=lambda item: item[0])
    return [operation for _, operation in placed], count


def _change(entry: dict[str, Any]) -> Operation:
    path = [entry["country_code"], entry["party_id"], entry["location_id"], *filter(None, [entry.get("evse_uid")])]
    return Operation(_party(entry), entry["op"], "locations", _tail(path), _encode(entry["body"]))


def _whole(module: str, entry: dict[str, Any]) -> Operation:
    path = [entry["country_code"], entry["party_id"], entry["id"]]
    return Operation(_party(entry), "PUT", module, _tail(path), _encode(entry))


def _party(entry: dict[str, Any]) -> str:
    return f"{entry['country_code']}/{entry['party_id']}"


def _tail(path: list[str]) -> str:
    return "/".join(quote(part, safe="") for part in path)


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
