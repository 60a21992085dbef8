"""The Locations module: where one can charge. A Location holds EVSEs, an EVSE holds Connectors.

Source: OCPI 2.2.1, mod_locations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from hub.ocpi.types import (
    URL,
    Boolean,
    CiString,
    DateTime,
    DeviationKind,
    Integer,
    IntegerFact,
    LastUpdated,
    Many,
    Number,
    OcpiObject,
    Open,
    Some,
    String,
)
from hub.ocpi.v2_2_1.enums import (
    Capability,
    ConnectorFormat,
    ConnectorType,
    EnergySourceCategory,
    EnvironmentalImpactCategory,
    Facility,
    ImageCategory,
    ParkingRestriction,
    ParkingType,
    PowerType,
    Status,
    TokenType,
)
from hub.ocpi.v2_2_1.types import Country, CountryCode, DisplayText, Id, LocalTime, PartyId

Latitude = Annotated[str, String(11, r"-?[0-9]{1,2}\.[0-9]{5,7}")]
"""The table says 10 characters, its pattern allows 11."""
Longitude = Annotated[str, String(12, r"-?[0-9]{1,3}\.[0-9]{5,7}")]
"""The table says 11 characters, its pattern allows 12."""


def _is_on_earth(latitude: object, longitude: object) -> bool:
    """Say whether the two can be a place; broken sources send 0,0. Texts that are no numbers are not judged here."""
    if not isinstance(latitude, str) or not isinstance(longitude, str):
        return True
    try:
        north, east = float(latitude), float(longitude)
    except ValueError:
        return True
    return abs(north) <= 90 and abs(east) <= 180 and (north, east) != (0, 0)


def _holds_twice(items: object, key: str) -> bool:
    """Say whether two objects in the list ``items`` have the same id, which the specification compares without case."""
    if not isinstance(items, list | tuple) or len(items) < 2:
        return False
    ids = [item[key].upper() for item in items if isinstance(item, dict) and isinstance(item.get(key), str)]
    return len(set(ids)) < len(ids)


class PublishTokenType(OcpiObject):
    """Tokens whose holders may see an unpublished Location; at least one of uid, visual number and group is needed.

    Source: OCPI 2.2.1, mod_locations § PublishTokenType class.
    """

    uid: Id | None = None
    type: Open[TokenType] | None = None
    visual_number: Annotated[str, String(64)] | None = None
    issuer: Annotated[str, String(64)] | None = None
    group_id: Id | None = None


class GeoLocation(OcpiObject):
    """WGS 84 in decimal degrees, as text.

    Source: OCPI 2.2.1, mod_locations § GeoLocation class.
    """

    latitude: Latitude
    longitude: Longitude

    @classmethod
    def oddities(cls, value: Mapping[str, Any]) -> Iterator[DeviationKind]:
        """A place outside the globe, or 0,0."""
        if not _is_on_earth(value.get("latitude"), value.get("longitude")):
            yield DeviationKind.COORDINATES


class AdditionalGeoLocation(OcpiObject):
    """A point that belongs to a Location, such as an entrance.

    Source: OCPI 2.2.1, mod_locations § AdditionalGeoLocation class.
    """

    latitude: Latitude
    longitude: Longitude
    name: DisplayText | None = None


class StatusSchedule(OcpiObject):
    """A status planned for an EVSE.

    Source: OCPI 2.2.1, mod_locations § StatusSchedule class.
    """

    period_begin: DateTime
    period_end: DateTime | None = None
    status: Open[Status]


class Connector(OcpiObject):
    """A socket or cable; its ``id`` is unique inside its EVSE only. Volts are line to neutral on three phases.

    Source: OCPI 2.2.1, mod_locations § Connector Object.
    """

    id: Id
    standard: Open[ConnectorType]
    format: Open[ConnectorFormat]
    power_type: Open[PowerType]
    max_voltage: Integer
    max_amperage: Integer
    max_electric_power: Integer | None = None
    tariff_ids: Many[Id] = ()
    terms_and_conditions: URL | None = None
    last_updated: LastUpdated


class Image(OcpiObject):
    """A picture by URL.

    Source: OCPI 2.2.1, mod_locations § Image class.
    """

    url: URL
    thumbnail: URL | None = None
    category: Open[ImageCategory]
    type: Annotated[str, CiString(4)]
    width: Annotated[Integer, IntegerFact(5)] | None = None
    height: Annotated[Integer, IntegerFact(5)] | None = None


class EVSE(OcpiObject):
    """One charging spot: one vehicle at a time, through one of its connectors.

    Source: OCPI 2.2.1, mod_locations § EVSE Object.
    """

    uid: Id
    evse_id: Annotated[str, CiString(48)] | None = None
    status: Open[Status]
    status_schedule: Many[StatusSchedule] = ()
    capabilities: Many[Open[Capability]] = ()
    connectors: Some[Connector]
    floor_level: Annotated[str, String(4)] | None = None
    coordinates: GeoLocation | None = None
    physical_reference: Annotated[str, String(16)] | None = None
    directions: Many[DisplayText] = ()
    parking_restrictions: Many[Open[ParkingRestriction]] = ()
    images: Many[Image] = ()
    last_updated: LastUpdated

    @classmethod
    def oddities(cls, value: Mapping[str, Any]) -> Iterator[DeviationKind]:
        """Two connectors with one id."""
        if _holds_twice(value.get("connectors"), "id"):
            yield DeviationKind.DUPLICATE_ID


class BusinessDetails(OcpiObject):
    """How a business shows itself.

    Source: OCPI 2.2.1, mod_locations § BusinessDetails class.
    """

    name: Annotated[str, String(100)]
    website: URL | None = None
    logo: Image | None = None


class RegularHours(OcpiObject):
    """Opening hours of one weekday, 1 (Monday) to 7, in local time.

    Source: OCPI 2.2.1, mod_locations § RegularHours class.
    """

    weekday: Annotated[Integer, IntegerFact(1)]
    period_begin: LocalTime
    period_end: LocalTime

    @classmethod
    def oddities(cls, value: Mapping[str, Any]) -> Iterator[DeviationKind]:
        """A weekday that is none."""
        if value.get("weekday") not in range(1, 8):
            yield DeviationKind.OPENING_HOURS


class ExceptionalPeriod(OcpiObject):
    """A time when the usual hours do not hold.

    Source: OCPI 2.2.1, mod_locations § ExceptionalPeriod class.
    """

    period_begin: DateTime
    period_end: DateTime


class Hours(OcpiObject):
    """When a Location is open; without 24/7 the regular hours say so.

    Source: OCPI 2.2.1, mod_locations § Hours class.
    """

    twentyfourseven: Boolean
    regular_hours: Many[RegularHours] = ()
    exceptional_openings: Many[ExceptionalPeriod] = ()
    exceptional_closings: Many[ExceptionalPeriod] = ()

    @classmethod
    def oddities(cls, value: Mapping[str, Any]) -> Iterator[DeviationKind]:
        """Not open all the time, and no word about when."""
        if value.get("twentyfourseven") is False and not value.get("regular_hours"):
            yield DeviationKind.OPENING_HOURS


class EnergySource(OcpiObject):
    """One source's share in percent.

    Source: OCPI 2.2.1, mod_locations § EnergySource class.
    """

    source: Open[EnergySourceCategory]
    percentage: Number


class EnvironmentalImpact(OcpiObject):
    """Waste or carbon dioxide in g/kWh.

    Source: OCPI 2.2.1, mod_locations § EnvironmentalImpact class.
    """

    category: Open[EnvironmentalImpactCategory]
    amount: Number


class EnergyMix(OcpiObject):
    """Where a Location's energy comes from and what it does to the environment.

    Source: OCPI 2.2.1, mod_locations § EnergyMix class.
    """

    is_green_energy: Boolean
    energy_sources: Many[EnergySource] = ()
    environ_impact: Many[EnvironmentalImpact] = ()
    supplier_name: Annotated[str, String(64)] | None = None
    energy_product_name: Annotated[str, String(64)] | None = None


class Location(OcpiObject):
    """A place to charge, with everything that stands there. Its ``last_updated`` moves whenever a child changes.

    Source: OCPI 2.2.1, mod_locations § Location Object.
    """

    country_code: CountryCode
    party_id: PartyId
    id: Id
    publish: Boolean
    publish_allowed_to: Many[PublishTokenType] = ()
    name: Annotated[str, String(255)] | None = None
    address: Annotated[str, String(255)]
    city: Annotated[str, String(45)]
    postal_code: Annotated[str, String(10)] | None = None
    state: Annotated[str, String(45)] | None = None
    country: Country
    coordinates: GeoLocation
    related_locations: Many[AdditionalGeoLocation] = ()
    parking_type: Open[ParkingType] | None = None
    evses: Many[EVSE] = ()
    directions: Many[DisplayText] = ()
    operator: BusinessDetails | None = None
    suboperator: BusinessDetails | None = None
    owner: BusinessDetails | None = None
    facilities: Many[Open[Facility]] = ()
    time_zone: Annotated[str, String(255)]
    opening_times: Hours | None = None
    charging_when_closed: Boolean | None = None
    images: Many[Image] = ()
    energy_mix: EnergyMix | None = None
    last_updated: LastUpdated

    @classmethod
    def oddities(cls, value: Mapping[str, Any]) -> Iterator[DeviationKind]:
        """Two EVSEs with one uid."""
        if _holds_twice(value.get("evses"), "uid"):
            yield DeviationKind.DUPLICATE_ID
