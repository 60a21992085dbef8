"""Which partner URLs may be called, judged at the very moment of connecting.

Every URL that a partner gave is hostile: it may name the hub's own networks or a cloud's metadata service, and its host name may
resolve to one address when it is checked and to another when it is used. So the address that the socket connects to is judged,
after resolution and for each connection, in the connector's `socket_factory`. IPv4 addresses inside IPv6 ones (mapped, NAT64,
6to4, Teredo) are unwrapped first; where it cannot be known which IPv4 address is meant (NAT64 of a site's own) none passes.

Rule CB-15; design: every partner-supplied URL is hostile until the guard has passed it.
"""

import errno
import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from hub.errors import AddressRefused

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

LONGEST_URL: Final = 2048
_BLANK: Final = re.compile(r"[\x00-\x20\x7f]")
_PLAIN_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\-]+(?::[0-9]{1,5})?(?=/)")
"""Scheme, host and port where nothing else can stand between them and the path."""
_MOST_PASSED: Final = 4096
_NAT64: Final = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: Final = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("168.63.129.16/32"),  # public by its number, the host of the machine in one cloud
    IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"),
    IPv6Network("fec0::/10"),
    IPv6Network("100::/64"),
    IPv6Network("64:ff9b:1::/48"),
)


class AddressGuard:
    """Passes the public internet and, beside it, the networks that the operator names."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._passed: set[str] = set()

    def check_url(self, url: str) -> None:
        """Refuse a URL that may not be called whatever it resolves to.

        Raises:
            AddressRefused: not absolute http(s), carries credentials, has no host or a wrong port, is too long, or names by
                number an address that is not allowed. `http` without TLS is for the operator's networks only, which is judged
                when the host is resolved.
        """
        if len(url) > LONGEST_URL or _BLANK.search(url):
            raise AddressRefused("the URL is too long or holds blanks or control characters")
        origin = _PLAIN_ORIGIN.match(url)
        if origin is None:
            self._check_origin(url)
        elif origin.group() not in self._passed:
            self._check_origin(url)
            if len(self._passed) >= _MOST_PASSED:
                self._passed.clear()
            self._passed.add(origin.group())

    def _check_origin(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise AddressRefused("the URL cannot be parsed") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise AddressRefused("the URL is not an absolute http or https URL")
        if parts.username is not None or parts.password is not None:
            raise AddressRefused("the URL carries credentials")
        if port == 0:
            raise AddressRefused("the URL has port 0")
        try:
            address = ip_address(parts.hostname.partition("%")[0])
        except ValueError:
            return
        self.check_address(address, with_tls=parts.scheme == "https")

    def check_address(self, address: Address, *, with_tls: bool) -> None:
        """Refuse an address that is neither public (with TLS) nor inside the operator's networks.

        Raises:
            AddressRefused: with the address in its message, for logs; never for partners.
        """
        inner = _unwrapped(address)
        if self._is_named(address) or self._is_named(inner):
            return
        if not _is_public(inner) or not _is_public(address):
            raise AddressRefused(f"{address} is not a public address and not in HUB_PARTNER_NETWORKS")
        if not with_tls:
            raise AddressRefused(f"{address} may be called with TLS only: it is not in HUB_PARTNER_NETWORKS")

    def socket_factory(self, *, with_tls: bool) -> Any:
        """A factory for aiohttp's connector that makes no socket for a refused address.

        It raises `PermissionError`, an `OSError` as every failed attempt, so that a host's other addresses are still tried.
        """

        def make(addr_info: tuple[Any, ...]) -> socket.socket:
            family, kind, protocol, _, where = addr_info
            try:
                self.check_address(ip_address(str(where[0]).partition("%")[0]), with_tls=with_tls)
            except AddressRefused as refused:
                raise PermissionError(errno.EACCES, str(refused)) from refused
            return socket.socket(family=family, type=kind, proto=protocol)

        return make

    def _is_named(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if int(address) >> 32 == 0 and int(address) > 1:
        return IPv4Address(int(address))
    return address


def _is_public(address: Address) -> bool:
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, IPv6Address) and (
        address.ipv4_mapped or address.sixtofour or address.teredo or address in _NAT64
    ):
        return True  # a wrapper: the address inside is judged
    return address.is_global and not address.is_multicast and not address.is_reserved
