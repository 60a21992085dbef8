"""The ChargingProfiles module: steering a session from outside.

Source: OCPI 2.2.1, mod_charging_profiles.
"""

from __future__ import annotations

from hub.ocpi.types import URL, DateTime, Integer, Many, Number, OcpiObject, Open
from hub.ocpi.v2_2_1.enums import ChargingProfileResponseType, ChargingProfileResultType, ChargingRateUnit


class ChargingProfileResponse(OcpiObject):
    """The CPO's direct answer to a charging-profile request.

    Source: OCPI 2.2.1, mod_charging_profiles § ChargingProfileResponse Object.
    """

    result: Open[ChargingProfileResponseType]
    timeout: Integer


class ChargingProfilePeriod(OcpiObject):
    """A limit from ``start_period`` seconds on.

    Source: OCPI 2.2.1, mod_charging_profiles § ChargingProfilePeriod class.
    """

    start_period: Integer
    limit: Number


class ChargingProfile(OcpiObject):
    """Limits over time.

    Source: OCPI 2.2.1, mod_charging_profiles § ChargingProfile class.
    """

    start_date_time: DateTime | None = None
    duration: Integer | None = None
    charging_rate_unit: Open[ChargingRateUnit]
    min_charging_rate: Number | None = None
    charging_profile_period: Many[ChargingProfilePeriod] = ()


class ActiveChargingProfile(OcpiObject):
    """What a charge point intends to do, from a moment on.

    Source: OCPI 2.2.1, mod_charging_profiles § ActiveChargingProfile class.
    """

    start_date_time: DateTime
    charging_profile: ChargingProfile


class ActiveChargingProfileResult(OcpiObject):
    """The result of asking for the active profile, posted to the ``response_url``.

    Source: OCPI 2.2.1, mod_charging_profiles § ActiveChargingProfileResult Object.
    """

    result: Open[ChargingProfileResultType]
    profile: ActiveChargingProfile | None = None


class ChargingProfileResult(OcpiObject):
    """The result of setting a profile, posted to the ``response_url``.

    Source: OCPI 2.2.1, mod_charging_profiles § ChargingProfileResult Object.
    """

    result: Open[ChargingProfileResultType]


class ClearProfileResult(OcpiObject):
    """The result of clearing a profile, posted to the ``response_url``.

    Source: OCPI 2.2.1, mod_charging_profiles § ClearProfileResult Object.
    """

    result: Open[ChargingProfileResultType]


class SetChargingProfile(OcpiObject):
    """Asks a CPO to steer a session by a profile.

    Source: OCPI 2.2.1, mod_charging_profiles § SetChargingProfile Object.
    """

    charging_profile: ChargingProfile
    response_url: URL
