"""The first step counts what the hub would do with each object, and says exactly what differs from what is expected."""

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.feeds.__main__ import main, run
from tests.feeds.contents import check_contents, write_expected
from tests.unit.ocpi_objects import NOON, a_connector, a_location, a_tariff, an_evse, without

NATIONAL_LOCATIONS = "ndw-nl/locations-2026-06-07.jsonl.gz"
NATIONAL_CHANGES = "ndw-nl/changes-2026-06-02_to_2026-06-07.jsonl.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose national feed holds one Location."""
    write(tmp_path, NATIONAL_LOCATIONS, a_location())
    return tmp_path


def write(folder: Path, name: str, *lines: object, text: str | None = None) -> None:
    """Make a feed: one line per object, or the text as it is."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    raw = (text or "".join(f"{json.dumps(line)}\n" for line in lines)).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def counts(folder: Path, name: str) -> dict[str, Any]:
    """What is counted for one feed."""
    kept = folder / "counts.json"
    write_expected(folder, kept)
    counted: dict[str, Any] = json.loads(kept.read_text())[name]
    return counted


def failures(folder: Path, expected: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The checks that do not hold, with their differences."""
    kept = folder / "expected.json"
    kept.write_text(json.dumps(expected))
    return {check.name: check.differences for check in check_contents(folder, kept) if not check.holds}


def test_refusals_are_counted_by_path_once_per_object(folder: Path) -> None:
    lacking = [without(a_connector(id=each), "format") for each in "123"]
    refused = a_location(evses=[an_evse(connectors=lacking), an_evse(uid="E2", status=None)])
    write(folder, "feeds/ocpi_2_2_1_locations-a.json", text=json.dumps([refused, a_location()]))

    assert counts(folder, "feeds/ocpi_2_2_1_locations-a.json") == {
        "objects": 2,
        "accepted": 1,
        "refused": 1,
        "refusals": {
            "$.evses[].connectors[].format: required field is missing": 1,
            "$.evses[].status: required field is null": 1,
        },
        "deviations": {},
    }


def test_deviations_are_counted_by_kind_and_field(folder: Path) -> None:
    odd = a_location(evses=[an_evse(connectors=[a_connector(cp_id="1"), a_connector(id="2", standard="TYPE 2")])])
    write(folder, "feeds/ocpi_2_2_locations-a.json.gz", text=json.dumps({"data": [odd]}))

    assert counts(folder, "feeds/ocpi_2_2_locations-a.json.gz")["deviations"] == {
        "enum_value Connector.standard": 1,
        "unknown_field Connector": 1,
    }


def test_an_envelope_behind_a_byte_order_mark_is_read(folder: Path) -> None:
    write(folder, "feeds/ocpi_2_2_1_tariffs-a.json", text="\ufeff" + json.dumps({"data": [a_tariff()]}))

    assert counts(folder, "feeds/ocpi_2_2_1_tariffs-a.json")["accepted"] == 1


def test_a_change_is_checked_as_its_owner_would_push_it(folder: Path) -> None:
    owner = {"country_code": "NL", "party_id": "ENE", "location_id": "LOC1"}
    write(
        folder,
        NATIONAL_CHANGES,
        {"op": "PATCH", **owner, "evse_uid": "E1", "body": {"status": "CHARGING", "last_updated": NOON}},
        {"op": "PATCH", **owner, "evse_uid": "E1", "body": {"status": "CHARGING"}},
        {"op": "PUT", **owner, "evse_uid": "E2", "body": an_evse(uid="E1")},
        {"op": "PUT", **owner, "body": a_location(party_id="ALL")},
    )

    assert counts(folder, NATIONAL_CHANGES)["refusals"] == {
        "$.last_updated: required field is missing": 1,
        "$.uid: contradicts the URL": 1,
        "$.party_id: contradicts the URL": 1,
    }


def test_of_the_samples_those_of_other_versions_are_left_out(folder: Path) -> None:
    samples = [
        {"checked_against": f"OCPI {version}", "location_trimmed": a_location()} for version in ("2.1.1", "2.2.1")
    ]
    write(folder, "feeds/quirk-samples.json", text=json.dumps(samples))

    assert counts(folder, "feeds/quirk-samples.json")["objects"] == 1


def test_what_differs_is_said_with_both_numbers(folder: Path) -> None:
    expected = {NATIONAL_LOCATIONS: counts(folder, NATIONAL_LOCATIONS) | {"objects": 2, "deviations": {"length X": 3}}}

    assert failures(folder, expected) == {
        f"{NATIONAL_LOCATIONS} counts as expected": (
            "deviations length X: 3 expected, 0 found",
            "objects: 2 expected, 1 found",
        )
    }


def test_a_feed_that_is_gone_and_one_that_is_new_are_differences(folder: Path) -> None:
    found = failures(folder, {"ndw-nl/gone-start.json.gz": {"objects": 1}})

    assert set(found) == {f"{NATIONAL_LOCATIONS} counts as expected", "ndw-nl/gone-start.json.gz counts as expected"}


def test_the_national_feed_has_to_be_accepted_whole_whatever_is_expected(folder: Path) -> None:
    write(folder, NATIONAL_LOCATIONS, without(a_location(), "city"))
    expected = {NATIONAL_LOCATIONS: counts(folder, NATIONAL_LOCATIONS)}

    assert failures(folder, expected) == {"the national feed is accepted whole": (f"{NATIONAL_LOCATIONS}: 1 refused",)}


def test_a_file_that_nobody_reads_is_noticed_and_one_left_out_is_not(folder: Path) -> None:
    expected = {NATIONAL_LOCATIONS: counts(folder, NATIONAL_LOCATIONS)}
    write(folder, "feeds/news.csv", text="1")
    write(folder, "feeds/ocpi_2_1_1_locations-a.json", text="[]")

    assert failures(folder, expected) == {
        "every file is read or left out for a reason": ("unknown: feeds/news.csv",),
    }


def test_a_feed_that_cannot_be_read_fails_and_the_others_are_counted(folder: Path) -> None:
    expected = {NATIONAL_LOCATIONS: counts(folder, NATIONAL_LOCATIONS)}
    write(folder, "feeds/ocpi_2_2_1_locations-cut.json", text='{"data": [')

    assert list(failures(folder, expected)) == ["feeds/ocpi_2_2_1_locations-cut.json can be read"]


@pytest.mark.parametrize(("objects", "code", "last"), [(1, 0, "3 passed, 0 failed"), (2, 1, "2 passed, 1 failed")])
def test_the_last_line_and_the_exit_code_tell_the_whole(
    folder: Path, capsys: pytest.CaptureFixture[str], objects: int, code: int, last: str
) -> None:
    kept = folder / "expected.json"
    kept.write_text(json.dumps({NATIONAL_LOCATIONS: counts(folder, NATIONAL_LOCATIONS) | {"objects": objects}}))

    assert run(folder, [("contents", partial(check_contents, expected=kept))]) == code
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "nowhere")])

    assert ended.value.code == 2
