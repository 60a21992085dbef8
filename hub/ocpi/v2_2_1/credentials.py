"""The Credentials module: what two platforms exchange when they register.

Source: OCPI 2.2.1, credentials.
"""

from __future__ import annotations

from typing import Annotated

from hub.ocpi.types import URL, OcpiObject, Open, Some, String
from hub.ocpi.v2_2_1.enums import Role
from hub.ocpi.v2_2_1.locations import BusinessDetails
from hub.ocpi.v2_2_1.types import CountryCode, PartyId


class CredentialsRole(OcpiObject):
    """One party behind a platform, in one role.

    Source: OCPI 2.2.1, credentials § CredentialsRole class.
    """

    role: Open[Role]
    business_details: BusinessDetails
    party_id: PartyId
    country_code: CountryCode


class Credentials(OcpiObject):
    """What a platform shows the other side: token, versions URL and the parties behind it.

    Source: OCPI 2.2.1, credentials § Credentials Object.
    """

    token: Annotated[str, String(64)]
    url: URL
    roles: Some[CredentialsRole]
