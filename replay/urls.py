"""Addresses of the replay API."""

from __future__ import annotations

from django.urls import path, re_path

from replay import api, api_sessions

urlpatterns = [
    path("api/replay/sessions", api_sessions.Sessions.as_view()),
    path("api/replay/sessions/<str:session_id>", api_sessions.Session.as_view()),
    path("api/replay/sessions/<str:session_id>/export", api_sessions.SessionExport.as_view()),
    path("api/replay/import", api_sessions.SessionImport.as_view()),
    path("api/replay/builds", api_sessions.Builds.as_view()),
    re_path(r"^api/replay/builds/(?P<job_id>[0-9]{1,15})\Z", api_sessions.Build.as_view()),
    path("api/replay/run", api.Run.as_view()),
    path("api/replay/stop", api.Stop.as_view()),
    path("api/replay/pause", api.Pause.as_view()),
    path("api/replay/resume", api.Resume.as_view()),
    path("api/replay/speed", api.Speed.as_view()),
    path("api/replay/loop", api.Loop.as_view()),
    path("api/replay/seek", api.Seek.as_view()),
    path("api/replay/status", api.Status.as_view()),
    path("api/replay/runs", api.Runs.as_view()),
    re_path(r"^api/replay/runs/(?P<run_id>[A-Za-z0-9_-]{1,40})\Z", api.RunOne.as_view()),
]
