"""The HubClientInfo module: who is connected to the hub.

Source: OCPI 2.2.1, mod_hub_client_info.
"""

from __future__ import annotations

from hub.ocpi.types import LastUpdated, OcpiObject, Open
from hub.ocpi.v2_2_1.enums import ConnectionStatus, Role
from hub.ocpi.v2_2_1.types import CountryCode, PartyId


class ClientInfo(OcpiObject):
    """A party connected to the hub, and how it stands.

    Source: OCPI 2.2.1, mod_hub_client_info § ClientInfo Object.
    """

    party_id: PartyId
    country_code: CountryCode
    role: Open[Role]
    status: Open[ConnectionStatus]
    last_updated: LastUpdated
