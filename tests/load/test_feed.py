"""The feed's made-up changes lie where they should."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.load.feed import Feed, read_feed
from tests.load.test_parts import an_evse

OWNER = {"country_code": "NL", "party_id": "ABC"}


def a_feed(folder: Path, *changes: dict[str, Any]) -> Feed:
    """One Location with EVSEs E and F, one Tariff, and these changes."""
    location = {**OWNER, "id": "L", "evses": [an_evse("E"), an_evse("F")], "last_updated": "2026-06-01T00:00:00Z"}
    written: dict[str, Sequence[dict[str, Any]]] = {
        "locations-2026-06-02": [location],
        "tariffs-2026-06-07": [{**OWNER, "id": "T", "last_updated": "2026-06-01T00:00:00Z"}],
        "changes-2026-06-02_to_2026-06-07": changes,
    }
    for name, entries in written.items():
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in entries)
    return read_feed(folder)


def a_change(last_updated: str, uid: str = "E", **more: Any) -> dict[str, Any]:
    """The PATCH of an EVSE."""
    body = {"status": "OUTOFORDER", "last_updated": last_updated}
    return {"op": "PATCH", **OWNER, "location_id": "L", "evse_uid": uid, "body": body} | more


def test_three_changes_with_clocks_in_between_come_before_a_real_one(tmp_path: Path) -> None:
    feed = a_feed(tmp_path, a_change("2026-06-02T10:00:08Z"))
    bodies = [json.loads(change.body) for change in feed.changes]
    assert [body["last_updated"][17:] for body in bodies] == ["02.000Z", "04.000Z", "06.000Z", "08Z"]
    assert bodies[-1]["status"] == "OUTOFORDER"
    assert feed.spread == 1


def test_touches_and_changes_less_than_four_seconds_newer_stand_alone(tmp_path: Path) -> None:
    feed = a_feed(tmp_path, a_change("2026-06-02T10:00:03Z"), a_change("2026-06-02T10:00:30Z", "F", touch=True))
    assert (len(feed.changes), feed.spread) == (2, 0)


def test_made_up_changes_are_spread_over_what_comes_before(tmp_path: Path) -> None:
    touches = [a_change(f"2026-06-02T10:01:{second:02}Z", "F", touch=True) for second in range(8)]
    feed = a_feed(tmp_path, *touches, a_change("2026-06-02T10:00:08Z"))
    places = [place for place, change in enumerate(feed.changes) if change.tail.endswith("/E")]
    assert places == [2, 5, 8, 11]
    assert len({change.lane for change in feed.changes}) == 1
