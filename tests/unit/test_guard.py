"""Which URLs and addresses the hub may call (CB-15): the addresses that attackers try, and those that must pass."""

import socket
from ipaddress import ip_address, ip_network

import pytest

from hub.errors import AddressRefused
from hub.partners.guard import LONGEST_URL, AddressGuard

PUBLIC_ONLY = AddressGuard(())
WITH_LOOPBACK = AddressGuard((ip_network("127.0.0.0/8"),))

NEVER_PUBLIC = {
    "loopback": "127.0.0.1",
    "loopback, elsewhere in its network": "127.255.255.254",
    "unspecified": "0.0.0.0",
    "this network": "0.1.2.3",
    "private 10": "10.0.0.1",
    "private 172": "172.31.255.255",
    "private 192": "192.168.1.1",
    "link-local": "169.254.0.1",
    "metadata": "169.254.169.254",
    "metadata behind carrier-grade NAT": "100.100.100.200",
    "host of a cloud machine": "168.63.129.16",
    "carrier-grade NAT": "100.64.0.1",
    "protocol assignments": "192.0.0.1",
    "documentation": "203.0.113.5",
    "benchmarks": "198.19.0.1",
    "6to4 relays": "192.88.99.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "loopback 6": "::1",
    "unspecified 6": "::",
    "unique local": "fd00:ec2::254",
    "link-local 6": "fe80::1",
    "site-local": "fec0::1",
    "multicast 6": "ff02::1",
    "discard": "100::1",
    "documentation 6": "2001:db8::1",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped private": "::ffff:10.0.0.1",
    "translated loopback": "::ffff:0:127.0.0.1",
    "compatible loopback": "::127.0.0.1",
    "compatible public": "::8.8.8.8",
    "NAT64 loopback": "64:ff9b::127.0.0.1",
    "NAT64 metadata": "64:ff9b::169.254.169.254",
    "NAT64 of a site's own, whatever the last bits say": "64:ff9b:1:7f00:0:100:808:808",
    "6to4 private": "2002:0a00:0001::1",
    "6to4 loopback": "2002:7f00:0001::",
    "Teredo with a loopback client": "2001:0:4136:e378:8000:63bf:80ff:fffe",
}
PUBLIC = {
    "public": "93.184.216.34",
    "public 6": "2606:2800:220:1:248:1893:25c8:1946",
    "mapped public": "::ffff:93.184.216.34",
    "NAT64 public": "64:ff9b::93.184.216.34",
}


@pytest.mark.parametrize("address", NEVER_PUBLIC.values(), ids=NEVER_PUBLIC.keys())
def test_an_address_that_is_not_public_is_refused_in_a_url_and_at_connect(address: str) -> None:
    host = f"[{address}]" if ":" in address else address

    with pytest.raises(AddressRefused):
        PUBLIC_ONLY.check_address(ip_address(address), with_tls=True)
    with pytest.raises(AddressRefused):
        PUBLIC_ONLY.check_url(f"https://{host}/ocpi/versions")
    with pytest.raises(PermissionError):
        PUBLIC_ONLY.socket_factory(with_tls=True)(_resolved(address))


@pytest.mark.parametrize("address", PUBLIC.values(), ids=PUBLIC.keys())
def test_a_public_address_passes_with_tls_only(address: str) -> None:
    host = f"[{address}]" if ":" in address else address

    PUBLIC_ONLY.check_url(f"https://{host}/ocpi/versions")
    with pytest.raises(AddressRefused, match="TLS"):
        PUBLIC_ONLY.check_url(f"http://{host}/ocpi/versions")
    with pytest.raises(PermissionError, match="TLS"):
        PUBLIC_ONLY.socket_factory(with_tls=False)(_resolved(address))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://partner.example/versions",
        "file:///etc/passwd",
        "gopher://partner.example/",
        "javascript:alert(1)",
        "//partner.example/versions",
        "/ocpi/versions",
        "partner.example/versions",
        "https://",
        "https:///versions",
        "",
        "https://user:secret@partner.example/",
        "https://user@partner.example/",
        "https://@partner.example/",
        "https://partner.example@127.0.0.1/",
        "https://partner.example:0/",
        "https://partner.example:65536/",
        "https://partner.example:port/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[::1%lo]/",
        "https://partner.example/a b",
        "https://partner.example/\r\nX-Injected: 1",
        "https://partner.example/\tversions",
        "https://partner.example/\x00",
        "https://partner.example/\x7f",
        " https://partner.example/",
        "https://partner.example/" + "a" * LONGEST_URL,
    ],
)
def test_a_url_of_a_wrong_form_is_refused_before_it_is_resolved(url: str) -> None:
    with pytest.raises(AddressRefused):
        AddressGuard((ip_network("0.0.0.0/0"), ip_network("127.0.0.0/8"))).check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://partner.example/ocpi/versions",
        "HTTPS://PARTNER.EXAMPLE:8443/x?tenant=1#part",
        "http://partner.example/",
        "https://partner.example/" + "a" * (LONGEST_URL - len("https://partner.example/")),
    ],
)
def test_a_url_with_a_name_passes_and_is_judged_when_it_is_resolved(url: str) -> None:
    PUBLIC_ONLY.check_url(url)


def test_a_named_network_is_called_without_tls_and_no_other_with_it() -> None:
    WITH_LOOPBACK.check_url("http://127.0.0.1:8080/")
    WITH_LOOPBACK.check_url("http://[::ffff:127.0.0.1]:8080/")
    for other in ("http://[::1]/", "https://10.0.0.1/", "http://93.184.216.34/"):
        with pytest.raises(AddressRefused):
            WITH_LOOPBACK.check_url(other)


def test_a_named_ipv6_network_covers_scoped_addresses() -> None:
    AddressGuard((ip_network("fe80::/10"),)).check_url("http://[fe80::1%25eth0]/")


def test_the_factory_makes_a_socket_for_an_allowed_address() -> None:
    made = WITH_LOOPBACK.socket_factory(with_tls=False)(_resolved("127.0.0.1"))

    with made:
        assert made.family is socket.AF_INET


def _resolved(address: str) -> tuple[object, ...]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where = (address, 443, 0, 0) if ":" in address else (address, 443)
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)
