"""What other platforms are told of a role: the ConnectionStatus (HC-07, HC-09, HC-17, CR-30, D-08)."""

from datetime import UTC, datetime

import pytest

from hub.ocpi.parties import PartyId, Role
from hub.routing.client_info import RoleStanding, client_info, connection_status


def a_standing(
    status: str = "connected", *, is_online: bool = True, is_listed: bool = True, was_ever_listed: bool = True
) -> RoleStanding:
    """A CPO on a platform."""
    moment = datetime(2026, 6, 1, 10, tzinfo=UTC)
    return RoleStanding("p1", status, is_online, PartyId("NL", "ENE"), Role.CPO, is_listed, was_ever_listed, moment)


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (a_standing(), "CONNECTED"),
        (a_standing(is_online=False), "OFFLINE"),
        (a_standing("unregistered"), "OFFLINE"),
        (a_standing("suspended"), "SUSPENDED"),
        (a_standing(is_listed=False), "OFFLINE"),
        (a_standing("suspended", is_listed=False), "SUSPENDED"),
        (a_standing("unregistered", is_listed=False), "OFFLINE"),
        (a_standing("invited", was_ever_listed=False), "PLANNED"),
        (a_standing(is_listed=False, was_ever_listed=False), "PLANNED"),
        (a_standing("unregistered", is_listed=False, was_ever_listed=False), "PLANNED"),
        (a_standing("suspended", is_listed=False, was_ever_listed=False), "SUSPENDED"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.status}-{value.is_listed}-{value.was_ever_listed}",
)
def test_the_status_of_a_role_says_whether_and_when_it_can_be_reached(standing: RoleStanding, expected: str) -> None:
    assert connection_status(standing) == expected


def test_a_client_info_has_every_required_field() -> None:
    assert client_info(a_standing()).value() == {
        "country_code": "NL",
        "party_id": "ENE",
        "role": "CPO",
        "status": "CONNECTED",
        "last_updated": "2026-06-01T10:00:00Z",
    }
