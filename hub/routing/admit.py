"""What the hub refuses before anything is forwarded: foreign parties, owners and tokens, contradictions, broken broadcasts.

Rules AU-14, RT-02, OB-07, OB-08, OB-15, OB-16; AM-04, AM-05, AM-06; decisions D-09, D-30.
"""

from collections.abc import Mapping
from typing import Any, Final

from hub.model.directory import Directory, Platform
from hub.ocpi.modules import Match, Operation
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import FOREIGN_PARTY, INVALID_PARAMETER, Refusal
from hub.ocpi.validate import Checked, check_object, check_patch, contradictions

_ID_MEMBER: Final[Mapping[str, tuple[str, str]]] = {
    "Location": ("location_id", "id"),
    "EVSE": ("evse_uid", "uid"),
    "Connector": ("connector_id", "id"),
    "Tariff": ("tariff_id", "id"),
    "Token": ("token_uid", "uid"),
}
_USING_TOKENS: Final = frozenset({"ReserveNow", "StartSession"})
_OWNED_KINDS: Final = frozenset({"Location", "Tariff", "Token", "Session"})
DEFAULT_TOKEN_TYPE: Final = "RFID"  # noqa: S105


def requesting_party(
    directory: Directory, platform: Platform, operation: Operation, from_party: PartyId | None
) -> PartyId | Refusal:
    """The party that asks. A missing FROM is inferred where exactly one party of the platform fits (AM-05)."""
    if from_party is not None:
        if directory.owns(platform.platform_id, from_party):
            return from_party
        return Refusal(FOREIGN_PARTY, f"OCPI-from-*: {from_party} is not a party of this platform")
    fitting = [party for party in platform.parties if _fits(platform, party, operation.owner_role)]
    if len(fitting) == 1:
        return fitting[0]
    return Refusal(
        INVALID_PARAMETER,
        "OCPI-from-country-code and OCPI-from-party-id are missing"
        + (f" and {len(fitting)} parties of this platform would fit" if fitting else ""),
    )


def _fits(platform: Platform, party: PartyId, role: Role | None) -> bool:
    return role is None or role in platform.party_roles(party)


def check_owner(
    directory: Directory, platform: Platform, match: Match, operation: Operation, from_party: PartyId
) -> Refusal | None:
    """A push must come from the platform of the object's owner, and the owner must have the owner's role (AM-06, OB-16)."""
    if operation.owner_role is None:
        return None
    owner = url_owner(match)
    if owner is None:
        owner = from_party
    elif not PartyId.well_formed(*owner):
        return Refusal(INVALID_PARAMETER, "the URL must name the owner as /{country_code}/{party_id}/")
    roles = [entry.role for entry in directory.roles_of(owner) if entry.platform_id == platform.platform_id]
    if not roles:
        return Refusal(INVALID_PARAMETER, f"the URL names {owner} as owner, which is not a party of this platform")
    if operation.owner_role not in roles:
        return Refusal(
            INVALID_PARAMETER,
            f"{owner} is not registered as {operation.owner_role}, the owner role of {match.resource.module}",
        )
    return None


def check_token(operation: Operation, from_party: PartyId, value: Any) -> Refusal | None:
    """A command may only use a token of the party that sends it (OB-15); one that names no owner is its receiver's to judge."""
    token = value.get("token") if operation.kind in _USING_TOKENS and isinstance(value, dict) else None
    if not isinstance(token, dict):
        return None
    country_code, party_id = token.get("country_code"), token.get("party_id")
    if not (
        isinstance(country_code, str) and isinstance(party_id, str) and PartyId.well_formed(country_code, party_id)
    ):
        return None
    owner = PartyId(country_code, party_id)
    if owner.folded == from_party.folded:
        return None
    return Refusal(INVALID_PARAMETER, f"$.token: is one of {owner}, and {from_party} may use its own tokens only")


def url_owner(match: Match) -> PartyId | None:
    """The owner that a Receiver URL names, or None where its template has none (RT-14)."""
    country_code = match.parameters.get("country_code")
    party_id = match.parameters.get("party_id")
    return PartyId(country_code, party_id) if country_code is not None and party_id is not None else None


def check_broadcast(
    match: Match, operation: Operation, from_party: PartyId, query: Mapping[str, str], value: Any
) -> Refusal | Checked:
    """The content of a broadcast: what would be stored must be whole and must agree with its URL and FROM (D-30)."""
    assert operation.kind is not None
    owner = url_owner(match)
    if owner is not None and owner.folded != from_party.folded:
        return Refusal(INVALID_PARAMETER, f"the URL names {owner} as owner, OCPI-from-* names {from_party}")
    if operation.method == "DELETE":
        return Checked((), ())
    if not isinstance(value, dict):
        return Refusal(INVALID_PARAMETER, f"$: expected the object {operation.kind}")
    check = check_patch if operation.method == "PATCH" else check_object
    checked = check(match.resource.version, operation.kind, value)
    if checked.refusals:
        return Refusal(INVALID_PARAMETER, "; ".join(fault.message for fault in checked.refusals))
    return _contradiction(match, operation.kind, query, value) or checked


def _contradiction(match: Match, kind: str, query: Mapping[str, str], value: dict[str, Any]) -> Refusal | None:
    parameter, member = _ID_MEMBER[kind]
    said, said_by = {member: match.parameters[parameter]}, "the URL"
    if kind in _OWNED_KINDS:
        said |= {name: match.parameters[name] for name in ("country_code", "party_id")}
    if kind == "Token":
        said["type"], said_by = query.get("type", DEFAULT_TOKEN_TYPE), "the URL (its type is RFID when left out)"
    faults = contradictions(value, said, said_by=said_by)
    return Refusal(INVALID_PARAMETER, "; ".join(fault.message for fault in faults)) if faults else None
