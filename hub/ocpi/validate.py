"""Says what the hub refuses and what it only counts in the content of an OCPI body (D-30).

*Refused*, with the JSON path: a required field that is missing or null, a wrong JSON type, a NUL in any string, a
``last_updated`` that is no date-time, no ``last_updated`` in a PATCH, an owner or id that contradicts the URL.
*Accepted and counted*: everything else that departs from the specification. The body itself is never changed.

Values come as ``json`` or ``msgspec`` parse them. No function here raises for any JSON value, and no message holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from hub.ocpi import v2_2_1
from hub.ocpi.checkers import Check, Checked, Deviation, Fault, Report, object_check
from hub.ocpi.types import DeviationKind, OcpiObject

__all__ = ["Checked", "Deviation", "DeviationKind", "Fault", "check_object", "check_patch", "contradictions"]

_MODELS: Mapping[str, Mapping[str, type[OcpiObject]]] = {"2.2.1": v2_2_1.MODELS}


def check_object(version: str, kind: str, value: object) -> Checked:
    """Check ``value`` as a whole object, such as the body of a PUT or POST.

    ``kind`` is the object's name in the specification, such as ``Location`` or ``StartSession``.

    Raises:
        LookupError: the version has no such object.
    """
    return _run(_check(version, kind, patch=False), value)


def check_patch(version: str, kind: str, value: object) -> Checked:
    """Check ``value`` as the body of a PATCH: fields may be absent, but those present must be right and whole.

    Raises:
        LookupError: the version has no such object.

    Source: OCPI 2.2.1, mod_locations § PATCH Method (OB-02, OB-03).
    """
    return _run(_check(version, kind, patch=True), value)


def contradictions(value: object, expected: Mapping[str, str], *, said_by: str = "the URL") -> tuple[Fault, ...]:
    """Return a fault for each field of ``expected`` that ``value`` fills otherwise; ids are compared without case.

    ``expected`` is like ``{"country_code": "NL", "party_id": "ENE", "id": "LOC1"}`` (OB-07, OB-08). An absent field is
    no contradiction: whether it may be absent is for the other checks to say.
    """
    if not isinstance(value, dict):
        return ()
    found = ((name, value.get(name), wanted) for name, wanted in expected.items())
    return tuple(
        Fault(f"$.{name}", f"contradicts {said_by}")
        for name, text, wanted in found
        if isinstance(text, str) and text.upper() != wanted.upper()
    )


def _run(check: Check, value: object) -> Checked:
    report = Report()
    check(value, None, "$", report)
    return report.verdict()


@cache
def _check(version: str, kind: str, *, patch: bool) -> Check:
    model = _MODELS.get(version, {}).get(kind)
    if model is None:
        raise LookupError(f"OCPI {version} has no object {kind}")
    return object_check(model, patch=patch)
