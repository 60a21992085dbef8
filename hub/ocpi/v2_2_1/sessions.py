"""The Sessions module: charging as it happens, and what drivers want of it.

Source: OCPI 2.2.1, mod_sessions.
"""

from __future__ import annotations

from typing import Annotated

from hub.ocpi.types import Boolean, DateTime, LastUpdated, Many, Number, OcpiObject, Open, String
from hub.ocpi.v2_2_1.cdrs import CdrToken, ChargingPeriod
from hub.ocpi.v2_2_1.enums import AuthMethod, ProfileType, SessionStatus
from hub.ocpi.v2_2_1.types import CountryCode, Currency, Id, PartyId, Price


class Session(OcpiObject):
    """A charging session as it runs. The owner named in ``cdr_token`` pays and is whom the hub routes to.

    Source: OCPI 2.2.1, mod_sessions § Session Object.
    """

    country_code: CountryCode
    party_id: PartyId
    id: Id
    start_date_time: DateTime
    end_date_time: DateTime | None = None
    kwh: Number
    cdr_token: CdrToken
    auth_method: Open[AuthMethod]
    authorization_reference: Id | None = None
    location_id: Id
    evse_uid: Id
    connector_id: Id
    meter_id: Annotated[str, String(255)] | None = None
    currency: Currency
    charging_periods: Many[ChargingPeriod] = ()
    total_cost: Price | None = None
    status: Open[SessionStatus]
    last_updated: LastUpdated


class ChargingPreferences(OcpiObject):
    """What the driver wants of a smart-charging session.

    Source: OCPI 2.2.1, mod_sessions § ChargingPreferences Object.
    """

    profile_type: Open[ProfileType]
    departure_time: DateTime | None = None
    energy_need: Number | None = None
    discharge_allowed: Boolean | None = None
