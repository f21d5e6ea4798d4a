"""What must be stored and read back in clear: encrypted with ROLLCALL_FIELD_KEYS."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class KeyGone(RuntimeError):
    """What was stored was encrypted under a key that is no longer configured."""


def _keys() -> MultiFernet:
    # The first key encrypts, every key decrypts: a new one is put first, and old ones stay until they are unused.
    return MultiFernet([Fernet(key) for key in settings.ROLLCALL_FIELD_KEYS])


def shut(text: str) -> str:
    """The text encrypted; nothing stays nothing."""
    return _keys().encrypt(text.encode()).decode() if text else ""


def opened(stored: str) -> str:
    """The text in clear. Raises `KeyGone`."""
    if not stored:
        return ""
    try:
        return _keys().decrypt(stored.encode()).decode()
    except InvalidToken as error:
        raise KeyGone from error
