"""The first account: made once, its password shown once."""

from __future__ import annotations

import secrets

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import identify_hasher

_PASSWORD_BYTES = 18


class BadPasswordHash(Exception):
    """ADMIN_PASSWORD_HASH cannot be used: the message says why, never what it was."""


def ensure_admin(username: str, password_hash: str) -> str | None:
    """Make sure the administrator exists; a hash from the environment always wins over the stored one.

    Returns: the generated password when the account was made just now without a hash, else None. It is
    nowhere else: not stored, not logged.
    Raises: BadPasswordHash.
    """
    users = get_user_model()
    encoded = usable_hash(password_hash) if password_hash else ""
    user = users.objects.filter(username=username).first()
    if user is not None:
        if encoded and user.password != encoded:
            user.password = encoded
            user.save(update_fields=["password"])
        return None
    password = None if encoded else secrets.token_urlsafe(_PASSWORD_BYTES)
    user = users(username=username, is_staff=True, is_superuser=True)
    if encoded:
        user.password = encoded
    else:
        user.set_password(password)
    user.save()
    return password


def usable_hash(text: str) -> str:
    """A hash as Django stores it; a plain bcrypt one (`$2b$…`) gets the prefix Django knows it by.

    Raises: BadPasswordHash.
    """
    encoded = f"bcrypt${text}" if text.startswith(("$2a$", "$2b$", "$2y$")) else text
    try:
        identify_hasher(encoded).verify("", encoded)  # proves that logging in can work at all
    except Exception as error:
        raise BadPasswordHash("it is neither a Django nor a bcrypt password hash") from error
    return encoded
