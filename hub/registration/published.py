"""Reads what a platform publishes: its versions, and the endpoints of one.

Whatever a platform lists that cannot be used is passed over, never fatal: unknown versions and modules, entries of a wrong form,
URLs that are none. Lists end at a length that no real platform comes near.

Source: OCPI 2.2.1, version_information_endpoint. Rules VE-02, VE-04, VE-05, VE-12, AM-32, FM-07.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from hub.model.directory import OutboundToken
from hub.ocpi.modules import CREDENTIALS, Interface
from hub.ocpi.parties import Role
from hub.ocpi.status import CONNECT_BACK_FAILED, ENDPOINTS_MISSING, NO_COMMON_VERSION, Refusal
from hub.ocpi.versions import OFFERED
from hub.partners.guard import LONGEST_URL

_MOST_ENTRIES: Final = 500
_MODULE: Final = re.compile(r"[\x21-\x7E]{1,64}")
_UNUSABLE: Final = re.compile(r"[\x00-\x20\x7F]")
_OWNED: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.CPO: ("locations", "sessions", "cdrs", "tariffs"),
    Role.EMSP: ("tokens",),
}
_ASKED_BY_EMSP: Final = ("commands", "chargingprofiles")

Key = tuple[str, Interface]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a platform publishes for one version. `token` is the one given, with the encoding that the platform takes."""

    version: str
    versions_url: str
    endpoints: Mapping[Key, str]
    token: OutboundToken


def is_details(data: Any) -> bool:
    """Whether this is the details of a version, where a list of versions was expected."""
    return isinstance(data, dict) and "endpoints" in data


def read_versions(data: Any, base: str) -> dict[str, str]:
    """Version numbers with the URLs of their details, the list wrapped in `versions` or bare (VE-02)."""
    offered: dict[str, str] = {}
    for entry in _entries(data.get("versions") if isinstance(data, dict) else data):
        version, url = entry.get("version"), absolute(entry.get("url"), base)
        if isinstance(version, str) and url:
            offered.setdefault(version.strip(), url)
    return offered


def read_details(
    data: Any, version: Any, *, wanted: str | None, url: str, roles: Sequence[Role]
) -> dict[Key, str] | Refusal:
    """The endpoints in the details of `version`, fetched from `url`.

    `roles` are the platform's: they tell the interface of an endpoint that says no role.
    """
    if not isinstance(version, str) or version not in ((wanted,) if wanted else OFFERED):
        return Refusal(NO_COMMON_VERSION, f"the platform does not offer version {wanted or ', '.join(OFFERED)}")
    if not is_details(data) or not isinstance(data["endpoints"], list):
        return Refusal(CONNECT_BACK_FAILED, f"the details of version {version} have no list of endpoints")
    said: dict[Key, str] = {}
    implied: dict[Key, str] = {}
    for entry in _entries(data["endpoints"]):
        for key, place, is_said in _endpoint(entry, url, roles):
            (said if is_said else implied).setdefault(key, place)
    endpoints = implied | said
    if (CREDENTIALS, Interface.SENDER) not in endpoints:
        return Refusal(ENDPOINTS_MISSING, f"the details of version {version} have no credentials endpoint")
    return endpoints


def absolute(url: Any, base: str) -> str | None:
    """A URL as the platform means it: without stray blanks, a relative one from where it stood; None when it is none."""
    if not isinstance(url, str):
        return None
    text = clean(url)
    if not text or len(text) > LONGEST_URL or _UNUSABLE.search(text):
        return None
    try:
        joined = text if "://" in text else urljoin(base, text)
        parts = urlsplit(joined)
    except ValueError:
        return None
    return joined if parts.scheme in {"http", "https"} and parts.netloc else None


def clean(url: str) -> str:
    """A URL without the blanks that some platforms put around it or behind its scheme."""
    return re.sub(r"^(https?://)\s+", r"\1", url.strip(), flags=re.IGNORECASE)


def _entries(listed: Any) -> Iterator[Mapping[str, Any]]:
    return (entry for entry in (listed[:_MOST_ENTRIES] if isinstance(listed, list) else ()) if isinstance(entry, dict))


def _endpoint(entry: Mapping[str, Any], base: str, roles: Sequence[Role]) -> Iterator[tuple[Key, str, bool]]:
    """The keys that an entry stands for, and whether it says its interface itself."""
    identifier, role, url = entry.get("identifier"), entry.get("role"), absolute(entry.get("url"), base)
    if not isinstance(identifier, str) or not url or not _MODULE.fullmatch(identifier.strip()):
        return
    module = identifier.strip().lower()
    word = role.strip().upper() if isinstance(role, str) else ""
    if module == CREDENTIALS:
        yield (module, Interface.SENDER), url, True
    elif word in Interface.__members__:
        yield (module, Interface(word)), url, True
    else:
        for interface in _usual_interfaces(module, roles):
            yield (module, interface), url, False


def _usual_interfaces(module: str, roles: Sequence[Role]) -> list[Interface]:
    """The interfaces that platforms of these roles have in a module, for endpoints without a role (VE-04)."""
    found = set()
    for role in roles:
        is_cpo = role is Role.CPO
        owns = module in _OWNED[Role.CPO if is_cpo else Role.EMSP] or (module in _ASKED_BY_EMSP and not is_cpo)
        found.add(Interface.SENDER if owns else Interface.RECEIVER)
    return sorted(found)
