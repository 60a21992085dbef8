"""The basic types read what the field sends and write what the specification wants."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hub.ocpi.types import format_datetime, parse_datetime
from hub.ocpi.v2_2_1.enums import ConnectorFormat, Status
from hub.ocpi.v2_2_1.locations import EVSE, Connector, Location
from hub.ocpi.v2_2_1.tariffs import Tariff
from tests.unit.ocpi_objects import a_connector, a_location, a_tariff, an_evse, without


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-03-13T06:59:09Z", datetime(2025, 3, 13, 6, 59, 9, tzinfo=UTC)),
        ("2025-03-13T06:59:09", datetime(2025, 3, 13, 6, 59, 9, tzinfo=UTC)),
        ("2025-03-13 06:59:09", datetime(2025, 3, 13, 6, 59, 9, tzinfo=UTC)),
        ("2025-03-13t06:59:09z", datetime(2025, 3, 13, 6, 59, 9, tzinfo=UTC)),
        (" 2025-03-13T06:59:09 Z ", datetime(2025, 3, 13, 6, 59, 9, tzinfo=UTC)),
        ("2025-03-13T06:59:09+00:00", datetime(2025, 3, 13, 6, 59, 9, tzinfo=UTC)),
        ("2025-03-13T06:59:09+02:00", datetime(2025, 3, 13, 4, 59, 9, tzinfo=UTC)),
        ("2025-03-13T06:59:09-0530", datetime(2025, 3, 13, 12, 29, 9, tzinfo=UTC)),
        ("2025-03-13T06:59:09.1Z", datetime(2025, 3, 13, 6, 59, 9, 100_000, tzinfo=UTC)),
        ("2025-03-13T06:59:09.838579335Z", datetime(2025, 3, 13, 6, 59, 9, 838_579, tzinfo=UTC)),
        ("2025-03-13T06:59:09.8385793", datetime(2025, 3, 13, 6, 59, 9, 838_579, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("1970-1-1T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("2025-03-13", datetime(2025, 3, 13, tzinfo=UTC)),
    ],
)
def test_a_date_time_is_read_as_utc(text: str, moment: datetime) -> None:
    read = parse_datetime(text)
    assert read == moment
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1717329600",
        "2025-13-01T00:00:00Z",
        "2025-02-30T00:00:00Z",
        "2025-03-13T25:00:00Z",
        "0001-01-01T00:00:00+02:00",
        "9999-12-31T23:59:59-02:00",
        "٢٠٢٥-03-13T06:59:09Z",
        "2025-03-13T06:59:09Z\0",
    ],
)
def test_a_text_that_is_no_date_time_reads_as_none(text: str) -> None:
    assert parse_datetime(text) is None


@given(st.text() | st.text(alphabet="0123456789-+:.TZtz ,"))
def test_no_text_makes_the_date_time_parser_raise(text: str) -> None:
    read = parse_datetime(text)
    assert read is None or read.tzinfo is UTC


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_written_date_time_fits_the_specification_and_reads_back_to_the_millisecond(moment: datetime) -> None:
    text = format_datetime(moment)
    assert len(text) <= 25
    assert text.endswith("Z")
    assert parse_datetime(text) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_known_enum_values_become_words_and_others_stay_text() -> None:
    connector = Connector.model_validate(a_connector(standard="IEC_60309_2_THREE_16"))
    assert connector.format is ConnectorFormat.SOCKET
    assert connector.standard == "IEC_60309_2_THREE_16"


def test_numbers_are_exact() -> None:
    tariff = Tariff.model_validate(a_tariff())
    component = tariff.elements[0].price_components[0]
    assert component.price == Decimal("0.35")
    assert component.step_size == 1
    assert Connector.model_validate(a_connector(max_amperage=7.4)).max_amperage == Decimal("7.4")
    assert '"price":0.35' in tariff.model_dump_json()


def test_absent_null_and_empty_lists_are_one() -> None:
    bodies = (a_location(evses=None), a_location(evses=[]), without(a_location(), "evses"))
    assert {Location.model_validate(body).evses for body in bodies} == {()}


def test_unknown_fields_survive() -> None:
    assert EVSE.model_validate(an_evse(parking=[{"id": 1}])).model_dump()["parking"] == [{"id": 1}]


def test_a_model_cannot_be_changed() -> None:
    evse = EVSE.model_validate(an_evse())
    with pytest.raises(ValidationError, match="frozen"):
        evse.status = Status.CHARGING  # type: ignore[misc]


def test_last_updated_is_always_a_moment() -> None:
    assert EVSE.model_validate(an_evse(last_updated="2025-03-13 06:59:09")).last_updated.tzinfo is UTC
    with pytest.raises(ValidationError, match="date-time expected"):
        EVSE.model_validate(an_evse(last_updated="1717329600"))


def test_another_unreadable_date_time_stays_text() -> None:
    assert Tariff.model_validate(a_tariff(start_date_time="soon")).start_date_time == "soon"


def test_the_schema_shows_lengths_patterns_and_enum_values() -> None:
    schema = Connector.model_json_schema()
    assert schema["properties"]["id"]["maxLength"] == 36
    assert schema["properties"]["last_updated"]["format"] == "date-time"
    assert "CHADEMO" in schema["$defs"]["ConnectorType"]["enum"]
