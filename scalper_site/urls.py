"""Site addresses: admin, login, the dashboard and the API."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("login/", LoginView.as_view(template_name="registration/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", include("failover.urls")),
    path("", include("replay.urls")),
    path("", include("monitoring.urls")),
]
