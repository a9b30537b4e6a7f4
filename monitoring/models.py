"""Who may do what: the dashboard keeps no data of its own."""

from __future__ import annotations

from django.db import models


class OperatorRights(models.Model):
    """Carries the permission to command execution; there is no table behind it."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = (("operate", "May command execution: panic, cancel, safe mode, trading"),)

    def __str__(self) -> str:
        return "operator rights"
