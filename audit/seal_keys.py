"""The keys of the seals: Ed25519 (RFC 8032), in PEM files, never in the database."""

import base64
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----(.+?)-----END PUBLIC KEY-----", re.DOTALL)


class BadKey(ValueError):
    """A file that should hold a key does not, or does not keep it."""


def _id(key: Ed25519PublicKey) -> str:
    # Of the form that `openssl pkey -pubin -outform DER` writes, so that anybody can say which key it is.
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


@dataclass(frozen=True)
class SigningKey:
    """A private key that was read, and the name by which seals call it."""

    private: Ed25519PrivateKey
    id: str

    def sign(self, statement: str) -> bytes:
        """The signature of a statement: 64 bytes."""
        return self.private.sign(statement.encode())

    @property
    def public(self) -> str:
        """The public half as PEM: what a verifier is given."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def make(path: Path) -> SigningKey:
    """Draw a key and write it to a new file that only its owner can read. Raises `BadKey` where the file can't be made."""
    private = Ed25519PrivateKey.generate()
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadKey(f"{path} can't be made: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return SigningKey(private, _id(private.public_key()))


def read(path: Path) -> SigningKey:
    """The private key in a file. Raises `BadKey`, also for a file that others than its owner can read."""
    try:
        if path.stat().st_mode & 0o077:
            raise BadKey(f"{path} can be read by others than its owner: chmod 600 it")
        private = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise BadKey(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if isinstance(error, BadKey):
            raise
        raise BadKey(f"{path} holds no private key without a password, as PEM") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise BadKey(f"{path} holds a key of another kind than Ed25519")
    return SigningKey(private, _id(private.public_key()))


@dataclass(frozen=True)
class Trusted:
    """The public keys that a verifier believes, by their names."""

    keys: dict[str, Ed25519PublicKey]

    def knows(self, key_id: str) -> bool:
        """Whether one of them has this name."""
        return key_id in self.keys

    def says(self, key_id: str, statement: str, signature: bytes) -> bool:
        """Whether the key of this name signed it."""
        try:
            self.keys[key_id].verify(signature, statement.encode())
        except InvalidSignature:
            return False
        return True


def trust(paths: Iterable[Path]) -> Trusted:
    """The public keys in these files, one or several in each. Raises `BadKey` for a file without one."""
    keys: dict[str, Ed25519PublicKey] = {}
    for path in paths:
        try:
            found = [base64.b64decode(body) for body in _PUBLIC.findall(path.read_bytes())]
            read_keys = [load_der_public_key(one) for one in found]
        except OSError as error:
            raise BadKey(f"{path} can't be read: {error.strerror}") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadKey(f"{path} holds something that is no public key") from error
        ours = [key for key in read_keys if isinstance(key, Ed25519PublicKey)]
        if not ours or len(ours) != len(read_keys):
            raise BadKey(f"{path} must hold public keys of the kind Ed25519, as PEM, and nothing else")
        keys |= {_id(key): key for key in ours}
    return Trusted(keys)
