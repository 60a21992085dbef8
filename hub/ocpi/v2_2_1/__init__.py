"""OCPI 2.2.1 in models: all objects of the specification, one module per chapter, and all enums.

The models are the truth about fields, cardinalities, lengths and patterns: the checker that guards the hub is built
from them, and so is the OpenAPI document. A test compares them with the tables of the specification. They are never
used to pass an object on: what goes from one 2.2.1 platform to another travels as the original bytes.

Source: OCPI 2.2.1, edition d2.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hub.ocpi.types import OcpiObject
from hub.ocpi.v2_2_1 import (
    cdrs,
    charging_profiles,
    commands,
    credentials,
    hub_client_info,
    locations,
    response,
    sessions,
    tariffs,
    tokens,
    types,
    versions,
)

_CHAPTERS = (
    types,
    locations,
    sessions,
    cdrs,
    tariffs,
    tokens,
    commands,
    charging_profiles,
    hub_client_info,
    credentials,
    versions,
    response,
)

MODELS: Mapping[str, type[OcpiObject]] = MappingProxyType(
    {
        name: word
        for chapter in _CHAPTERS
        for name, word in vars(chapter).items()
        if isinstance(word, type) and issubclass(word, OcpiObject) and word.__module__ == chapter.__name__
    }
)
"""Every object by its name in the specification, which names two by prose only: ``VersionDetails`` and ``Response``."""
