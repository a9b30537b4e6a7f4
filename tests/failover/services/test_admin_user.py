"""The first account."""

from __future__ import annotations

import bcrypt
import pytest
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from failover.services.admin_user import BadPasswordHash, ensure_admin

pytestmark = pytest.mark.django_db


def a_hash(password: str) -> str:
    """As Django makes it, but quickly."""
    return PBKDF2PasswordHasher().encode(password, "salt", iterations=1000)


def test_the_generated_password_works_and_is_given_once() -> None:
    password = ensure_admin("admin", "")

    assert password is not None
    user = authenticate(username="admin", password=password)
    assert user is not None
    assert user.is_superuser
    assert ensure_admin("admin", "") is None
    assert get_user_model().objects.count() == 1


@pytest.mark.parametrize("kind", ["django", "bcrypt"])
def test_a_hash_from_the_environment_is_the_password(kind: str) -> None:
    encoded = a_hash("my long password")
    if kind == "bcrypt":
        encoded = bcrypt.hashpw(b"my long password", bcrypt.gensalt(4)).decode()

    assert ensure_admin("admin", encoded) is None
    assert authenticate(username="admin", password="my long password") is not None


def test_a_new_hash_in_the_environment_replaces_the_password() -> None:
    password = ensure_admin("admin", "")
    ensure_admin("admin", a_hash("another long one"))

    assert authenticate(username="admin", password=password) is None
    assert authenticate(username="admin", password="another long one") is not None


@pytest.mark.parametrize("text", ["plain password", "$2b$10$short", "pbkdf2_sha256$x", "md5$a$b"])
def test_a_hash_that_could_never_log_in_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(BadPasswordHash) as caught:
        ensure_admin("admin", text)

    assert text not in str(caught.value)
    assert not get_user_model().objects.exists()
