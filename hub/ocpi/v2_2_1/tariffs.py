"""The Tariffs module: what charging costs.

Source: OCPI 2.2.1, mod_tariffs.
"""

from __future__ import annotations

from hub.ocpi.types import URL, DateTime, Integer, LastUpdated, Many, Number, OcpiObject, Open, Some
from hub.ocpi.v2_2_1.enums import DayOfWeek, ReservationRestrictionType, TariffDimensionType, TariffType
from hub.ocpi.v2_2_1.locations import EnergyMix
from hub.ocpi.v2_2_1.types import CountryCode, Currency, DisplayText, Id, LocalDate, LocalTime, PartyId, Price


class PriceComponent(OcpiObject):
    """A price without VAT; ``step_size`` counts Wh or seconds. An absent ``vat`` is not 0 percent.

    Source: OCPI 2.2.1, mod_tariffs § PriceComponent class.
    """

    type: Open[TariffDimensionType]
    price: Number
    vat: Number | None = None
    step_size: Integer


class TariffRestrictions(OcpiObject):
    """When a tariff element holds. Local times may wrap midnight; maximums are exclusive.

    Source: OCPI 2.2.1, mod_tariffs § TariffRestrictions class.
    """

    start_time: LocalTime | None = None
    end_time: LocalTime | None = None
    start_date: LocalDate | None = None
    end_date: LocalDate | None = None
    min_kwh: Number | None = None
    max_kwh: Number | None = None
    min_current: Number | None = None
    max_current: Number | None = None
    min_power: Number | None = None
    max_power: Number | None = None
    min_duration: Integer | None = None
    max_duration: Integer | None = None
    day_of_week: Many[Open[DayOfWeek]] = ()
    reservation: Open[ReservationRestrictionType] | None = None


class TariffElement(OcpiObject):
    """Prices, and when they hold; the first element that fits a dimension wins.

    Source: OCPI 2.2.1, mod_tariffs § TariffElement class.
    """

    price_components: Some[PriceComponent]
    restrictions: TariffRestrictions | None = None


class Tariff(OcpiObject):
    """What charging costs.

    Source: OCPI 2.2.1, mod_tariffs § Tariff Object.
    """

    country_code: CountryCode
    party_id: PartyId
    id: Id
    currency: Currency
    type: Open[TariffType] | None = None
    tariff_alt_text: Many[DisplayText] = ()
    tariff_alt_url: URL | None = None
    min_price: Price | None = None
    max_price: Price | None = None
    elements: Some[TariffElement]
    start_date_time: DateTime | None = None
    end_date_time: DateTime | None = None
    energy_mix: EnergyMix | None = None
    last_updated: LastUpdated
