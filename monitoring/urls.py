"""Pages and API of the dashboard."""

from __future__ import annotations

from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from monitoring import api, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.overview, name="overview"),
    path("symbol/", views.symbols, name="symbols"),
    re_path(r"^symbol/(?P<symbol>[A-Z0-9]{2,30})/\Z", views.symbol, name="symbol"),
    path("orders/", views.orders, name="orders"),
    path("orders/<str:client_order_id>/", views.order, name="order"),
    path("trades/", views.trades, name="trades"),
    path("trades/<int:pk>/", views.trade, name="trade"),
    path("backtests/", views.backtests, name="backtests"),
    path("backtests/<str:name>/", views.backtest, name="backtest"),
    path("replay/", views.replay, name="replay"),
    re_path(
        r"^replay/runs/(?P<run_id>[A-Za-z0-9_-]{1,40})/\Z", views.replay_run, name="replay-run"
    ),
    path("replay/compare/", views.compare, name="compare"),
    path("retention/", views.retention, name="retention"),
    path("retention/<str:run_id>/", views.retention, name="retention-run"),
    # Browsers ask for it on pages that name no icon, such as the API's.
    path("favicon.ico", RedirectView.as_view(url=static("dashboard/icon.svg"))),
    path("healthz", views.healthz, name="healthz"),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    path("api/execution/overview", api.ExecutionOverview.as_view()),
    path("api/execution/orders", api.Orders.as_view()),
    path("api/execution/panic-close-all", api.PanicCloseAll.as_view()),
    path("api/execution/panic-close-symbol", api.PanicCloseSymbol.as_view()),
    path("api/execution/cancel-orders", api.CancelOrders.as_view()),
    path("api/execution/trading", api.Trading.as_view()),
    path("api/failover/safe-mode", api.SafeMode.as_view()),
    path("api/health", api.Health.as_view()),
    path("api/latency", api.Latency.as_view()),
    path("api/quality", api.Quality.as_view()),
    path("api/quality/orders", api.QualityOrders.as_view()),
    path("api/replay/compare", api.CompareRuns.as_view()),
    path("api/retention/reports", api.RetentionReports.as_view()),
    path("api/risk", api.Risk.as_view()),
    path("api/positions", api.Positions.as_view()),
    path("api/trades", api.Trades.as_view()),
    path("api/market/symbols", api.MarketSymbols.as_view()),
]
