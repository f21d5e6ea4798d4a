"""A key is made once, kept from others, and known by its name; what is no key of ours is refused in one line."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.core.management import call_command
from django.core.management.base import CommandError

from audit import seal_keys
from audit.seal_keys import BadKey

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit


def test_a_key_is_made_in_a_file_of_its_owner_and_never_replaces_one(tmp_path):
    path = tmp_path / "seal.pem"
    made = seal_keys.make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert seal_keys.read(path).id == made.id
    with pytest.raises(BadKey, match="can't be made: File exists"):
        seal_keys.make(path)
    assert seal_keys.read(path).id == made.id


def test_its_name_is_the_digest_that_openssl_gives_for_its_public_half(tmp_path):
    made = seal_keys.make(tmp_path / "seal.pem")
    command = ["openssl", "pkey", "-in", str(tmp_path / "seal.pem"), "-pubout", "-outform", "DER"]
    der = subprocess.run(command, capture_output=True, check=True).stdout
    assert made.id == sha256(der).hexdigest()


def test_a_signature_holds_for_its_statement_and_key_alone(tmp_path):
    made, other = seal_keys.make(tmp_path / "one.pem"), seal_keys.make(tmp_path / "two.pem")
    (tmp_path / "public.pem").write_text(made.public + other.public)
    trusted = seal_keys.trust([tmp_path / "public.pem"])
    signature = made.sign("that is so")
    assert trusted.says(made.id, "that is so", signature)
    assert not trusted.says(made.id, "that is not so", signature)
    assert not trusted.says(other.id, "that is so", signature)
    assert not trusted.says(made.id, "that is so", b"")
    assert (trusted.knows(other.id), trusted.knows("another")) == (True, False)


def test_a_private_key_that_others_can_read_is_not_used(tmp_path):
    seal_keys.make(tmp_path / "seal.pem")
    (tmp_path / "seal.pem").chmod(0o640)
    with pytest.raises(BadKey, match="can be read by others than its owner"):
        seal_keys.read(tmp_path / "seal.pem")


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def curve() -> Any:
    """A key of another kind."""
    return ec.generate_private_key(ec.SECP256R1())


def test_what_is_no_private_key_of_ours_is_refused(tmp_path):
    other = curve().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, said in ((b"", "no private key"), (b"\xff", "no private key"), (other, "another kind than Ed25519")):
        with pytest.raises(BadKey, match=said):
            seal_keys.read(write(tmp_path / "key.pem", content))
    with pytest.raises(BadKey, match="can't be read: No such file"):
        seal_keys.read(tmp_path / "nowhere.pem")


def test_what_is_no_public_key_of_ours_is_refused(tmp_path):
    other = curve().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    broken = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    for content, said in ((b"", "must hold public keys"), (other, "must hold public keys"), (broken, "no public key")):
        with pytest.raises(BadKey, match=said):
            seal_keys.trust([write(tmp_path / "key.pem", content)])
    private = tmp_path / "seal.pem"
    seal_keys.make(private)
    with pytest.raises(BadKey, match="must hold public keys"):
        seal_keys.trust([private])


def test_the_commands_make_a_key_and_print_its_public_half_alone(tmp_path, settings, capsys):
    path = tmp_path / "seal.pem"
    call_command("make_seal_key", str(path))
    made = capsys.readouterr()
    assert made.out == seal_keys.read(path).public
    assert made.out.startswith("-----BEGIN PUBLIC KEY-----")
    assert "PRIVATE" not in made.out + made.err
    settings.ROLLCALL_SEAL_KEY_FILE = str(path)
    call_command("seal_key")
    assert capsys.readouterr().out == made.out
    with pytest.raises(CommandError, match="File exists"):
        call_command("make_seal_key", str(path))
    settings.ROLLCALL_SEAL_KEY_FILE = str(tmp_path / "nowhere.pem")
    with pytest.raises(CommandError, match="can't be read"):
        call_command("seal_key")
    settings.ROLLCALL_SEAL_KEY_FILE = ""
    with pytest.raises(CommandError, match="ROLLCALL_SEAL_KEY_FILE is not set"):
        call_command("seal_key")
