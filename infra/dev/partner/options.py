"""How a simulator is started: the values, and the same as command line arguments."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from infra.dev.partner.words import FUNCTIONAL, Party, Role

ROLES: Final[dict[str, frozenset[Role]]] = {
    "cpo": frozenset({Role.CPO}),
    "emsp": frozenset({Role.EMSP}),
    "both": frozenset({Role.CPO, Role.EMSP}),
}


@dataclass(frozen=True, slots=True)
class Options:
    """Everything a simulator needs to start. Port 0 takes a free one, or the one that the state file remembers."""

    role: Literal["cpo", "emsp", "both"]
    parties: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 0
    control_port: int = 0
    public_url: str | None = None
    """How others reach it, without a path; by default its host and port."""
    load: tuple[Path, ...] = field(default=())
    hub_versions_url: str | None = None
    hub_token: str | None = None
    hub_wait_s: float = 60
    """How long to go on trying while the hub does not answer yet."""
    record: Literal["full", "light"] = "full"
    """`light` keeps neither bodies nor checks: for load runs."""
    state: Path | None = None
    without: tuple[str, ...] = ()
    """Functional modules that it does not offer."""
    page_limit: int = 100
    token_grace_s: float = 0
    """How long a replaced inbound token still opens the door."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, with one line that says what to do.

        Raises:
            ValueError: with that line.
        """
        if self.role not in ROLES:
            raise ValueError(f"the role is cpo, emsp or both, not {self.role!r}")
        if not self.parties:
            raise ValueError("name at least one party, like --party NL/ABC")
        keys = [Party.parse(text).key for text in self.parties]
        if len(set(keys)) != len(keys):
            raise ValueError("every party is named once")
        if (self.hub_versions_url is None) != (self.hub_token is None):
            raise ValueError("--hub-versions-url and --hub-token go together")
        unknown = set(self.without) - FUNCTIONAL
        if unknown:
            raise ValueError(f"no functional module: {', '.join(sorted(unknown))}")
        if self.page_limit < 1:
            raise ValueError("a page holds at least one object")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the arguments that `from_arguments` reads."""
    parser.add_argument("--role", choices=sorted(ROLES), required=True, help="what this platform is")
    parser.add_argument(
        "--party", action="append", required=True, metavar="NL/ABC", help="a party that it hosts; repeatable"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--port", type=int, default=0, help="port for OCPI; 0 takes a free one")
    parser.add_argument("--control-port", type=int, default=0, help="port of the control API, always on loopback")
    parser.add_argument("--public-url", help="how others reach it, like http://partner:9000, where that differs")
    parser.add_argument(
        "--load", action="extend", nargs="+", default=[], type=Path, metavar="FILE", help="its own objects"
    )
    parser.add_argument("--hub-versions-url", metavar="URL", help="register at this versions URL on start")
    parser.add_argument("--hub-token", metavar="TOKEN", help="with this one-time token (A)")
    parser.add_argument("--hub-wait", type=float, default=60, metavar="SECONDS", help="how long to wait for the hub")
    parser.add_argument("--record", choices=["full", "light"], default="full", help="light: no bodies and no checks")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep tokens and objects over a restart (mode 0600)")
    parser.add_argument("--without", action="append", default=[], metavar="MODULE", help="do not offer this module")
    parser.add_argument("--page-limit", type=int, default=100, help="most objects on one page")
    parser.add_argument(
        "--token-grace", type=float, default=0, metavar="SECONDS", help="a replaced token still works so long"
    )


def from_arguments(arguments: argparse.Namespace) -> Options:
    """Turn parsed arguments into options.

    Raises:
        ValueError: they do not fit together.
    """
    return Options(
        role=arguments.role,
        parties=tuple(arguments.party),
        host=arguments.host,
        port=arguments.port,
        control_port=arguments.control_port,
        public_url=arguments.public_url,
        load=tuple(arguments.load),
        hub_versions_url=arguments.hub_versions_url,
        hub_token=arguments.hub_token,
        hub_wait_s=arguments.hub_wait,
        record=arguments.record,
        state=arguments.state,
        without=tuple(arguments.without),
        page_limit=arguments.page_limit,
        token_grace_s=arguments.token_grace,
    )
