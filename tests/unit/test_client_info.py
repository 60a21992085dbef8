"""What a viewer may see and still has to be told (HC-04, HC-07, HC-08, HC-19, HC-20, AM-37, AM-38, D-18)."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hub.ocpi.parties import PartyId, Role
from hub.routing.client_info import CONNECTED, OFFLINE, SUSPENDED, ClientInfo, RoleStanding, untold, visible_to
from tests.unit.routing_objects import a_directory, a_platform

T0 = datetime(2026, 6, 1, 10, tzinfo=UTC)
INFOS = st.lists(
    st.builds(
        ClientInfo,
        st.sampled_from([PartyId("NL", "AAA"), PartyId("NL", "BBB"), PartyId("nl", "aaa")]),
        st.sampled_from(["CPO", "EMSP"]),
        st.sampled_from([CONNECTED, OFFLINE, SUSPENDED]),
        st.integers(0, 3).map(lambda hours: T0 + timedelta(hours=hours)),
    ),
    unique_by=lambda info: info.key,
)


def an_info(party_id: str = "AAA", status: str = CONNECTED, hours: int = 0, role: str = "CPO") -> ClientInfo:
    """A ClientInfo below NL."""
    return ClientInfo(PartyId("NL", party_id), role, status, T0 + timedelta(hours=hours))


def test_a_viewer_that_was_told_nothing_is_told_all_the_latest_change_first() -> None:
    current = [an_info("AAA", hours=1), an_info("BBB", hours=3), an_info("CCC", hours=2)]

    assert [info.party.party_id for info in untold([], current, T0)] == ["BBB", "CCC", "AAA"]


def test_a_viewer_that_knows_what_is_true_is_told_nothing() -> None:
    assert untold([an_info()], [an_info()], T0) == []


def test_each_role_of_a_party_is_told_apart() -> None:
    assert untold([an_info()], [an_info(), an_info(role="EMSP")], T0) == [an_info(role="EMSP")]


def test_a_status_that_changed_back_and_forth_is_told_once_as_it_is_now() -> None:
    assert untold([an_info(hours=0)], [an_info(hours=2)], T0) == [an_info(hours=2)]


def test_what_a_viewer_may_not_see_any_more_is_told_to_be_suspended() -> None:
    now = T0 + timedelta(hours=9)

    assert untold([an_info()], [], now) == [an_info(status=SUSPENDED, hours=9)]


def test_a_platform_is_shown_what_any_of_its_parties_may_reach_and_nothing_of_its_own() -> None:
    both = a_platform("both", (PartyId.parse("NL/AAA"), Role.CPO), (PartyId.parse("NL/BBB"), Role.EMSP))
    cpo, emsp = (
        a_platform("cpo", (PartyId.parse("NL/CPO"), Role.CPO)),
        a_platform("emsp", (PartyId.parse("NL/MSP"), Role.EMSP)),
    )
    directory = a_directory(both, cpo, emsp)
    standings = [
        RoleStanding(entry.platform_id, "connected", True, entry.party, entry.role, True, True, T0)
        for platform in (both, cpo, emsp)
        for entry in platform.roles
    ]

    seen = {name: [str(one.party) for one in visible_to(directory, name, standings)] for name in directory.platforms}

    assert seen == {"both": ["NL/CPO", "NL/MSP"], "cpo": ["NL/BBB", "NL/MSP"], "emsp": ["NL/AAA", "NL/CPO"]}


@given(INFOS, INFOS)
def test_once_told_there_is_nothing_more_to_tell(told: list[ClientInfo], current: list[ClientInfo]) -> None:
    held = {info.key: info for info in told} | {info.key: info for info in untold(told, current, T0)}

    assert untold(held.values(), current, T0) == []
    assert {info.key: info.status for info in current}.items() <= {key: i.status for key, i in held.items()}.items()
