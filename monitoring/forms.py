"""Filters of the tables."""

from __future__ import annotations

from django import forms

ORDER_STATUSES = ("NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED")


def _choices(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [("", "any"), *((name, name) for name in names)]


def _date(label: str) -> forms.DateField:
    return forms.DateField(
        required=False, label=label, widget=forms.DateInput(attrs={"type": "date"})
    )


class OrderFilter(forms.Form):
    symbol = forms.CharField(required=False, max_length=30)
    side = forms.ChoiceField(required=False, choices=_choices(("BUY", "SELL")))
    status = forms.ChoiceField(required=False, choices=_choices(ORDER_STATUSES))
    leg = forms.CharField(required=False, max_length=12)
    since = _date("From (UTC)")
    until = _date("To (UTC)")


class TradeFilter(forms.Form):
    symbol = forms.CharField(required=False, max_length=30)
    side = forms.ChoiceField(required=False, choices=_choices(("LONG", "SHORT")))
    result = forms.ChoiceField(
        required=False, choices=[("", "any"), ("won", "won"), ("lost", "lost")]
    )
    since = _date("From (UTC)")
    until = _date("To (UTC)")
