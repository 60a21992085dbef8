"""How credentials tokens rest: inbound ones as keyed hash, outbound ones encrypted.

One 32-byte key gives both through HKDF, so neither reveals the other. Nothing here prints a token.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hub.errors import ConfigurationError

_NONCE_BYTES: Final = 12
_TOKEN_BYTES: Final = 30


class Secrets:
    """The two derived keys of this hub. `key_id` names the key material without revealing it."""

    def __init__(self, key: bytes) -> None:
        self._hash_key = _derive(key, b"inbound token hash")
        self._cipher = AESGCM(_derive(key, b"outbound token encryption"))
        self.key_id = hashlib.sha256(_derive(key, b"key id")).hexdigest()[:16]

    @classmethod
    def from_base64(cls, text: str) -> "Secrets":
        """Read the key from its setting.

        Raises:
            ConfigurationError: not Base64 of 32 bytes.
        """
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 32:
            raise ConfigurationError(
                "the secrets key must be the Base64 of 32 bytes, for example: openssl rand -base64 32"
            )
        return cls(key)

    def hash_inbound(self, token: str) -> bytes:
        """The key under which an inbound token is found (32 bytes). Equal tokens give equal hashes."""
        return hmac.digest(self._hash_key, token.encode(), "sha256")

    def seal(self, token: str, platform_id: str) -> bytes:
        """Encrypt an outbound token, bound to its platform."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, token.encode(), platform_id.encode())

    def unseal(self, sealed: bytes, platform_id: str) -> str:
        """Decrypt an outbound token.

        Raises:
            ConfigurationError: it was sealed with another key or for another platform.
        """
        try:
            plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], platform_id.encode())
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError("an outbound token was sealed with another secrets key") from error
        return plain.decode()


def make_token(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A new credentials token, 44 characters of U+0021 to U+007E (AU-08, AU-11).

    It begins with `hub-`: the hyphen is outside the Base64 alphabet, so that it cannot be mistaken for an encoded one (D-14).
    """
    return "hub-" + base64.urlsafe_b64encode(random_bytes(_TOKEN_BYTES)).decode("ascii")


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ocpi-hub " + purpose).derive(key)
