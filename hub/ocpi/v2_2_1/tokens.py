"""The Tokens module: who may charge, and asking whether they may.

Source: OCPI 2.2.1, mod_tokens.
"""

from __future__ import annotations

from typing import Annotated

from hub.ocpi.types import Boolean, LastUpdated, Many, OcpiObject, Open, String
from hub.ocpi.v2_2_1.enums import AllowedType, ProfileType, TokenType, WhitelistType
from hub.ocpi.v2_2_1.types import CountryCode, DisplayText, Id, Language, PartyId


class EnergyContract(OcpiObject):
    """The driver's own energy contract.

    Source: OCPI 2.2.1, mod_tokens § EnergyContract class.
    """

    supplier_name: Annotated[str, String(64)]
    contract_id: Annotated[str, String(64)] | None = None


class Token(OcpiObject):
    """What a driver identifies with. Its identity is owner, ``uid`` and ``type``.

    Source: OCPI 2.2.1, mod_tokens § Token Object.
    """

    country_code: CountryCode
    party_id: PartyId
    uid: Id
    type: Open[TokenType]
    contract_id: Id
    visual_number: Annotated[str, String(64)] | None = None
    issuer: Annotated[str, String(64)]
    group_id: Id | None = None
    valid: Boolean
    whitelist: Open[WhitelistType]
    language: Language | None = None
    default_profile_type: Open[ProfileType] | None = None
    energy_contract: EnergyContract | None = None
    last_updated: LastUpdated


class LocationReferences(OcpiObject):
    """Where a driver wants to charge.

    Source: OCPI 2.2.1, mod_tokens § LocationReferences class.
    """

    location_id: Id
    evse_uids: Many[Id] = ()


class AuthorizationInfo(OcpiObject):
    """The answer to an authorization request.

    Source: OCPI 2.2.1, mod_tokens § AuthorizationInfo Object.
    """

    allowed: Open[AllowedType]
    token: Token
    location: LocationReferences | None = None
    authorization_reference: Id | None = None
    info: DisplayText | None = None
