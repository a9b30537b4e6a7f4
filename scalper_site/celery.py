"""The Celery application: slow work that may run twice, never orders."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scalper_site.settings")

app = Celery("scalper")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
