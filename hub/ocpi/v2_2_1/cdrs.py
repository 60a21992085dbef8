"""The CDRs module: what is billed.

Source: OCPI 2.2.1, mod_cdrs.
"""

from __future__ import annotations

from typing import Annotated

from hub.ocpi.types import (
    Boolean,
    CiString,
    DateTime,
    Integer,
    LastUpdated,
    Many,
    Number,
    OcpiObject,
    Open,
    Some,
    String,
)
from hub.ocpi.v2_2_1.enums import AuthMethod, CdrDimensionType, ConnectorFormat, ConnectorType, PowerType, TokenType
from hub.ocpi.v2_2_1.locations import GeoLocation
from hub.ocpi.v2_2_1.tariffs import Tariff
from hub.ocpi.v2_2_1.types import Country, CountryCode, Currency, Id, PartyId, Price


class CdrToken(OcpiObject):
    """The token that charged and, in ``country_code`` and ``party_id``, the eMSP that pays.

    Source: OCPI 2.2.1, mod_cdrs § CdrToken class.
    """

    country_code: CountryCode
    party_id: PartyId
    uid: Id
    type: Open[TokenType]
    contract_id: Id


class CdrLocation(OcpiObject):
    """The Location as it was when charging; ``#NA`` stands for the EVSE of a reservation never used.

    Source: OCPI 2.2.1, mod_cdrs § CdrLocation class.
    """

    id: Id
    name: Annotated[str, String(255)] | None = None
    address: Annotated[str, String(45)]
    city: Annotated[str, String(45)]
    postal_code: Annotated[str, String(10)] | None = None
    state: Annotated[str, String(20)] | None = None
    country: Country
    coordinates: GeoLocation
    evse_uid: Id
    evse_id: Annotated[str, CiString(48)]
    connector_id: Id
    connector_standard: Open[ConnectorType]
    connector_format: Open[ConnectorFormat]
    connector_power_type: Open[PowerType]


class CdrDimension(OcpiObject):
    """One measured amount.

    Source: OCPI 2.2.1, mod_cdrs § CdrDimension class.
    """

    type: Open[CdrDimensionType]
    volume: Number


class ChargingPeriod(OcpiObject):
    """A stretch of a session in which the same prices hold; it ends where the next begins.

    Source: OCPI 2.2.1, mod_cdrs § ChargingPeriod class.
    """

    start_date_time: DateTime
    dimensions: Some[CdrDimension]
    tariff_id: Id | None = None


class SignedValue(OcpiObject):
    """One signed meter value.

    Source: OCPI 2.2.1, mod_cdrs § SignedValue class.
    """

    nature: Annotated[str, CiString(32)]
    plain_data: Annotated[str, String(5000)]
    signed_data: Annotated[str, String(5000)]


class SignedData(OcpiObject):
    """Signed meter values (Eichrecht), which must survive byte for byte.

    Source: OCPI 2.2.1, mod_cdrs § SignedData class.
    """

    encoding_method: Id
    encoding_method_version: Integer | None = None
    public_key: Annotated[str, String(512)] | None = None
    signed_values: Some[SignedValue]
    url: Annotated[str, String(512)] | None = None


class CDR(OcpiObject):
    """The final bill of a session: never changed, only credited. The owner in ``cdr_token`` pays and is routed to.

    Source: OCPI 2.2.1, mod_cdrs § CDR Object.
    """

    country_code: CountryCode
    party_id: PartyId
    id: Annotated[str, CiString(39)]
    start_date_time: DateTime
    end_date_time: DateTime
    session_id: Id | None = None
    cdr_token: CdrToken
    auth_method: Open[AuthMethod]
    authorization_reference: Id | None = None
    cdr_location: CdrLocation
    meter_id: Annotated[str, String(255)] | None = None
    currency: Currency
    tariffs: Many[Tariff] = ()
    charging_periods: Some[ChargingPeriod]
    signed_data: SignedData | None = None
    total_cost: Price
    total_fixed_cost: Price | None = None
    total_energy: Number
    total_energy_cost: Price | None = None
    total_time: Number
    total_time_cost: Price | None = None
    total_parking_time: Number | None = None
    total_parking_cost: Price | None = None
    total_reservation_cost: Price | None = None
    remark: Annotated[str, String(255)] | None = None
    invoice_reference_id: Annotated[str, CiString(39)] | None = None
    credit: Boolean | None = None
    credit_reference_id: Annotated[str, CiString(39)] | None = None
    home_charging_compensation: Boolean | None = None
    last_updated: LastUpdated
