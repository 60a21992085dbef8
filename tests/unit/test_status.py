"""The table of statuses, and the body of an answer."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

import hub
from hub.ocpi.status import SUCCESS, TABLE, Status, body, timestamp

NOW = datetime(2026, 6, 1, 12, 0, 0, 999_999, tzinfo=UTC)

EXPECTED = {
    "SUCCESS": (200, 1000),
    "TOKEN_MISSING": (401, 2000),
    "TOKEN_UNKNOWN": (401, 2000),
    "TOKEN_ONLY_REGISTERS": (401, 2000),
    "TOO_MANY_UNKNOWN_TOKENS": (429, 2000),
    "PLATFORM_SUSPENDED": (403, 2000),
    "NOT_JSON": (400, 2001),
    "BODY_TOO_LARGE": (413, 2001),
    "URL_UNKNOWN": (404, 2000),
    "METHOD_NOT_OFFERED": (405, 2000),
    "WRONG_REGISTRATION_STATE": (405, 2000),
    "INVALID_PARAMETER": (200, 2001),
    "FOREIGN_PARTY": (200, 2001),
    "OBJECT_NOT_FOUND": (404, 2003),
    "TOKEN_NOT_FOUND": (404, 2004),
    "ISSUED_URL_UNKNOWN": (404, 2001),
    "CONNECT_BACK_FAILED": (200, 3001),
    "NO_COMMON_VERSION": (200, 3002),
    "ENDPOINTS_MISSING": (200, 3003),
    "ROUTING_FAULT": (200, 4000),
    "RECEIVER_UNKNOWN": (200, 4001),
    "RECEIVER_SILENT": (200, 4002),
    "RECEIVER_NOT_CONNECTED": (200, 4003),
    "TOO_MANY_WAITING": (503, 3000),
    "LOG_UNAVAILABLE": (503, 3000),
    "STORE_UNAVAILABLE": (503, 3000),
    "INTERNAL": (500, 3000),
}


def test_the_table_holds_these_pairs_and_no_others() -> None:
    assert {name: (status.http, status.ocpi) for name, status in TABLE.items()} == EXPECTED


@pytest.mark.parametrize("status", TABLE.values(), ids=TABLE.keys())
def test_codes_have_four_digits_outside_the_custom_ranges_and_a_message(status: Status) -> None:
    assert 1000 <= status.ocpi < 5000
    assert status.ocpi % 1000 < 900
    assert status.message


def test_every_status_is_used() -> None:
    root = Path(hub.__file__).parent.parent
    code = "".join(
        path.read_text()
        for folder in ("hub", "workers")
        for path in (root / folder).rglob("*.py")
        if path.name != "status.py"
    )

    assert [name for name in TABLE if not re.search(rf"\b{name}\b", code)] == []


def test_a_body_has_the_code_message_and_moment_and_no_data_where_there_is_none() -> None:
    assert json.loads(body(SUCCESS, NOW)) == {
        "status_code": 1000,
        "status_message": "Success",
        "timestamp": "2026-06-01T12:00:00Z",
    }


@pytest.mark.parametrize("data", [[], {}, "", 0, False, msgspec.Raw(b'{"price": 0.60}')])
def test_data_that_is_empty_is_still_given(data: object) -> None:
    assert b'"data":' in body(SUCCESS, NOW, data=data)


def test_ready_json_is_given_byte_for_byte() -> None:
    assert b'"data":{"price": 0.60},' in body(SUCCESS, NOW, data=msgspec.Raw(b'{"price": 0.60}'))


def test_a_message_of_its_own_takes_the_place_of_the_usual_one() -> None:
    assert json.loads(body(SUCCESS, NOW, message="é"))["status_message"] == "é"


def test_a_moment_is_written_in_utc_with_a_z() -> None:
    assert timestamp(NOW.astimezone(timezone(timedelta(hours=2)))) == "2026-06-01T12:00:00Z"
