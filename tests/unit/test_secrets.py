"""How tokens rest, and what the tokens look like that the hub makes."""

import base64
import re

import pytest

from hub.errors import ConfigurationError
from hub.ocpi.headers import token_candidates
from hub.store.secrets import Secrets, make_token

KEY = bytes(range(32))
PLATFORM, OTHER = "a-platform", "another-platform"


def test_a_sealed_token_is_read_back_for_its_platform() -> None:
    secrets = Secrets(KEY)

    assert secrets.unseal(secrets.seal("tök€n", PLATFORM), PLATFORM) == "tök€n"


def test_a_sealed_token_shows_nothing_of_the_token_and_is_never_sealed_alike() -> None:
    secrets = Secrets(KEY)
    one, two = (secrets.seal("the-same-token", PLATFORM) for _ in range(2))

    assert one != two
    assert b"the-same-token" not in one


@pytest.mark.parametrize("key", [b"k" * 32, bytes(32)])
def test_a_token_that_was_sealed_with_another_key_is_not_read(key: bytes) -> None:
    with pytest.raises(ConfigurationError):
        Secrets(key).unseal(Secrets(KEY).seal("token", PLATFORM), PLATFORM)


def test_a_sealed_token_that_was_moved_to_another_platform_is_not_read() -> None:
    secrets = Secrets(KEY)

    with pytest.raises(ConfigurationError):
        secrets.unseal(secrets.seal("token", PLATFORM), OTHER)


@pytest.mark.parametrize("place", [0, 11, 12, -1])
def test_a_sealed_token_that_was_changed_is_not_read(place: int) -> None:
    secrets = Secrets(KEY)
    sealed = bytearray(secrets.seal("token", PLATFORM))
    sealed[place] ^= 1

    with pytest.raises(ConfigurationError):
        secrets.unseal(bytes(sealed), PLATFORM)


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(12), bytes(27)])
def test_what_was_never_sealed_is_not_read(sealed: bytes) -> None:
    with pytest.raises(ConfigurationError):
        Secrets(KEY).unseal(sealed, PLATFORM)


def test_equal_tokens_have_equal_hashes_under_one_key_only() -> None:
    assert Secrets(KEY).hash_inbound("token") == Secrets(KEY).hash_inbound("token")
    assert Secrets(KEY).hash_inbound("token") != Secrets(KEY).hash_inbound("token ")
    assert Secrets(KEY).hash_inbound("token") != Secrets(b"k" * 32).hash_inbound("token")
    assert len(Secrets(KEY).hash_inbound("")) == 32


def test_the_key_id_names_the_key_and_is_not_part_of_it() -> None:
    assert Secrets(KEY).key_id == Secrets(KEY).key_id
    assert Secrets(KEY).key_id != Secrets(b"k" * 32).key_id
    assert Secrets(KEY).key_id not in KEY.hex()


def test_the_key_is_read_from_base64_of_32_bytes() -> None:
    assert Secrets.from_base64(base64.b64encode(KEY).decode()).key_id == Secrets(KEY).key_id


@pytest.mark.parametrize("text", ["", "short", "not base64!", base64.b64encode(bytes(31)).decode(), "é" * 44])
def test_another_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Secrets.from_base64(text)

    assert not text or text not in str(refused.value)


def test_made_tokens_are_printable_of_one_length_and_never_alike() -> None:
    made = {make_token() for _ in range(100_000)}

    assert len(made) == 100_000
    assert all(re.fullmatch(r"[\x21-\x7E]{44}", token) for token in made)


def test_a_made_token_is_no_base64_so_that_its_raw_and_encoded_forms_never_collide() -> None:
    token = make_token(lambda count: b"\xff" * count)
    encoded = base64.b64encode(token.encode()).decode()

    assert token_candidates(f"Token {token}") == (token,)
    assert token_candidates(f"Token {encoded}")[0] == token
