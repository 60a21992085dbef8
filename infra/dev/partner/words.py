"""OCPI 2.2.1 as the simulator speaks it: parties, roles, modules, interfaces, and where each has its URL."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

VERSION: Final = "2.2.1"
VERSIONS_PATH: Final = "/ocpi/versions"
DETAILS_PATH: Final = f"/ocpi/{VERSION}"

FUNCTIONAL: Final = frozenset({"cdrs", "chargingprofiles", "commands", "locations", "sessions", "tariffs", "tokens"})
CONFIGURATION: Final = frozenset({"versions", "credentials", "hubclientinfo"})
MODULES: Final = FUNCTIONAL | CONFIGURATION


class Role(StrEnum):
    """The two market roles that the simulator plays."""

    CPO = "CPO"
    EMSP = "EMSP"


class Interface(StrEnum):
    """SENDER is the interface of the data's owner, RECEIVER the one that pushes go to."""

    SENDER = "SENDER"
    RECEIVER = "RECEIVER"


OFFERED: Final[dict[Role, frozenset[tuple[str, Interface]]]] = {
    Role.CPO: frozenset(
        {
            ("locations", Interface.SENDER),
            ("sessions", Interface.SENDER),
            ("cdrs", Interface.SENDER),
            ("tariffs", Interface.SENDER),
            ("tokens", Interface.RECEIVER),
            ("commands", Interface.RECEIVER),
            ("chargingprofiles", Interface.RECEIVER),
        }
    ),
    Role.EMSP: frozenset(
        {
            ("tokens", Interface.SENDER),
            ("locations", Interface.RECEIVER),
            ("sessions", Interface.RECEIVER),
            ("cdrs", Interface.RECEIVER),
            ("tariffs", Interface.RECEIVER),
            ("commands", Interface.SENDER),
            ("chargingprofiles", Interface.SENDER),
        }
    ),
}
COMMON: Final = frozenset({("credentials", Interface.SENDER), ("hubclientinfo", Interface.RECEIVER)})


@dataclass(frozen=True, slots=True)
class Party:
    """Who a message is from or for. Compared without case, shown as written."""

    country_code: str
    party_id: str

    @classmethod
    def parse(cls, text: str) -> "Party":
        """Read `NL/ABC`.

        Raises:
            ValueError: the text is not two letters, a slash and one to three characters.
        """
        country_code, slash, party_id = text.partition("/")
        if not slash or len(country_code) != 2 or not 1 <= len(party_id) <= 3:
            raise ValueError(f"a party is written like NL/ABC, not {text!r}")
        return cls(country_code, party_id)

    @property
    def key(self) -> str:
        """The same text for every spelling of one party."""
        return f"{self.country_code}/{self.party_id}".upper()

    def __str__(self) -> str:
        return f"{self.country_code}/{self.party_id}"


@dataclass(frozen=True, slots=True)
class Target:
    """What a path of this platform means. `segments` are percent-decoded; `interface` is None for versions and credentials."""

    module: str
    interface: Interface | None
    segments: tuple[str, ...]


def endpoint_path(module: str, interface: Interface) -> str:
    """Give the path under which this platform offers a module's interface."""
    if module == "credentials":
        return f"{DETAILS_PATH}/credentials"
    return f"{DETAILS_PATH}/{interface.lower()}/{module}"


def locate(path: str) -> Target | None:
    """Find what a raw path (no query) means, or None where nothing is. A trailing slash makes no difference."""
    parts = path.strip("/").split("/")
    if parts == ["ocpi", "versions"]:
        return Target("versions", None, ())
    if parts[:2] != ["ocpi", VERSION]:
        return None
    match parts[2:]:
        case []:
            return Target("versions", None, (VERSION,))
        case ["credentials"]:
            return Target("credentials", None, ())
        case [("sender" | "receiver") as interface, module, *rest] if module in MODULES:
            return Target(module, Interface(interface.upper()), tuple(unquote(part) for part in rest))
    return None
