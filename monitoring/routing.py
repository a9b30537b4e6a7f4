"""Websocket addresses of the dashboard."""

from __future__ import annotations

from typing import Any

from django.urls import re_path

from monitoring.consumers import PanelConsumer

websocket_urlpatterns: list[Any] = [
    re_path(r"^ws/overview/$", PanelConsumer.as_asgi()),
    re_path(r"^ws/symbol/(?P<symbol>[A-Z0-9]{2,30})/$", PanelConsumer.as_asgi()),
]
