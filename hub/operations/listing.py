"""The hub's settings for people: every variable with its value, default and meaning, secrets masked."""

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic.fields import FieldInfo

from hub.settings import Settings

_MASK: Final = "***"
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]*)@")


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting. `is_set` tells whether its value differs from the default."""

    variable: str
    value: str
    default: str
    is_set: bool
    description: str


def list_settings(settings: Settings) -> tuple[SettingRow, ...]:
    """Every `HUB_*` setting in the order of their definition."""
    return tuple(_row(name, field, getattr(settings, name)) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo, value: Any) -> SettingRow:
    default = field.get_default(call_default_factory=True)
    shown = _text(value)
    if field.repr is False and shown:
        shown = _MASK
    return SettingRow(
        variable=f"HUB_{name.upper()}",
        value=_URL_PASSWORD.sub(rf"\1:{_MASK}@", shown),
        default=_text(default),
        is_set=value != default,
        description=field.description or "",
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value)
