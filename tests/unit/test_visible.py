"""Since when one party sees another's objects in lists for all (D-26, AM-35)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hub.model.directory import Directory
from hub.ocpi.parties import Role
from hub.routing.visible import visible_owners
from tests.unit.routing_objects import CPO, EMSP, OTHER_EMSP, a_directory, a_platform

T0 = datetime(2026, 6, 1, tzinfo=UTC)
EARLY, LATE = T0, T0 + timedelta(days=1)


def a_hub(cpo: datetime | None, emsp: datetime | None, *, cpo_as_nsp: datetime | None = None) -> Directory:
    """A CPO and an eMSP that were listed then, and another eMSP."""
    roles = ((CPO, Role.CPO), *([(CPO, Role.NSP)] if cpo_as_nsp else []))
    first, second = a_platform("p1", *roles), a_platform("p2", (EMSP, Role.EMSP))
    moments = (cpo, cpo_as_nsp)
    listed = tuple(replace(entry, since=since) for entry, since in zip(first.roles, moments, strict=False))
    return a_directory(
        replace(first, roles=listed),
        replace(second, roles=tuple(replace(entry, since=emsp) for entry in second.roles)),
        a_platform("p3", (OTHER_EMSP, Role.EMSP)),
    )


@pytest.mark.parametrize(
    ("cpo", "emsp", "since"),
    [(EARLY, LATE, LATE), (LATE, EARLY, LATE), (None, LATE, LATE), (EARLY, None, EARLY), (None, None, None)],
)
def test_objects_are_visible_since_both_are_there(
    cpo: datetime | None, emsp: datetime | None, since: datetime | None
) -> None:
    assert visible_owners(a_hub(cpo, emsp), "p2", EMSP) == {CPO.folded: since}


def test_another_role_changes_nothing_where_it_may_not_exchange() -> None:
    assert visible_owners(a_hub(EARLY, EARLY, cpo_as_nsp=LATE), "p2", EMSP) == {CPO.folded: EARLY}


def test_nobody_sees_anything_on_a_platform_that_is_not_its_own() -> None:
    assert visible_owners(a_hub(EARLY, EARLY), "p3", EMSP) == {}
