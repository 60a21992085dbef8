"""The hub knows its own URLs again, however a platform writes them."""

import pytest

from hub.registration.identity import Identity
from tests.unit.routing_objects import HUB

IDENTITY = Identity(HUB, "A hub", "https://hub.test/roaming")


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.test/roaming",
        "https://hub.test/roaming/ocpi/versions",
        "HTTPS://HUB.test:443/roaming/",
        "http://hub.test/roaming/x",
        "https://hub.test./roaming/ocpi/versions",
        " https://me@hub.test/roaming ",
    ],
)
def test_a_url_of_the_hub_is_known_in_every_spelling(url: str) -> None:
    assert IDENTITY.is_own(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.test/roamings",
        "https://hub.test/",
        "https://hub.test:8443/roaming",
        "https://nohub.test/roaming",
        "https://./roaming",
        "https://[/roaming",
        "",
    ],
)
def test_a_url_elsewhere_is_not_the_hubs(url: str) -> None:
    assert not IDENTITY.is_own(url)
