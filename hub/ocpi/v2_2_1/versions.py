"""The versions endpoints: what a platform speaks and where.

Source: OCPI 2.2.1, version_information_endpoint.
"""

from __future__ import annotations

from hub.ocpi.types import URL, OcpiObject, Open, Some
from hub.ocpi.v2_2_1.enums import InterfaceRole, ModuleID, VersionNumber


class Version(OcpiObject):
    """A supported version and where its details are.

    Source: OCPI 2.2.1, version_information_endpoint § Version class.
    """

    version: Open[VersionNumber]
    url: URL


class Endpoint(OcpiObject):
    """Where one side of a module is.

    Source: OCPI 2.2.1, version_information_endpoint § Endpoint class.
    """

    identifier: Open[ModuleID]
    role: Open[InterfaceRole]
    url: URL


class VersionDetails(OcpiObject):
    """The endpoints of one version.

    Source: OCPI 2.2.1, version_information_endpoint § Version details endpoint.
    """

    version: Open[VersionNumber]
    endpoints: Some[Endpoint]
