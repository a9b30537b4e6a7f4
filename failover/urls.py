"""Addresses of the trading config's API."""

from __future__ import annotations

from django.urls import path

from failover import api

urlpatterns = [
    path("api/config/schema", api.Schema.as_view()),
    path("api/config/active", api.Active.as_view()),
    path("api/config/validate", api.Validate.as_view()),
    path("api/config/rollback", api.RollBack.as_view()),
    path("api/config/versions", api.Versions.as_view()),
    path("api/config/versions/<int:number>", api.Version.as_view()),
    path("api/config/versions/<int:number>/diff", api.Diff.as_view()),
    path("api/config/versions/<int:number>/activate", api.Activate.as_view()),
    path("api/config/versions/<int:number>/decline", api.Decline.as_view()),
]
