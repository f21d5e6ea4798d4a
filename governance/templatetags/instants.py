"""How instants are told: by distance and by clock, never by one alone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.template.context import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from governance.templatetags.marks import span, tone

# A deadline nearer than this stands out.
_NEAR = timedelta(days=1)


def _clock(instant: datetime, at: datetime) -> str:
    if instant.date() == at.date():
        return f"{instant:%H:%M} UTC"
    year = "" if instant.year == at.year else f" {instant.year}"
    return f"{instant.day} {instant:%b}{year}, {instant:%H:%M} UTC"


def _zone(context: Context) -> ZoneInfo | None:
    tenant = context.get("tenant")
    zone: ZoneInfo | None = tenant.zone if tenant is not None and tenant.time_zone != "UTC" else None
    return zone


def when(context: Context, instant: datetime | None, never: Any = "") -> SafeString:
    """How long ago or ahead, and when: "40 min ago (13:22 UTC)". Nothing is `never`, or other words."""
    if instant is None:
        return format_html('<span class="quiet">{}</span>', never or _("never"))
    at = _at(context)
    seconds = (instant - at).total_seconds()
    if abs(seconds) < 1:
        words = _("now")
    else:
        words = (_("in %(span)s") if seconds > 0 else _("%(span)s ago")) % {"span": span(seconds)}
    return _told(context, instant, words)


def _at(context: Context) -> datetime:
    at: datetime = context.get("at") or datetime.now(UTC)
    return at


def _told(context: Context, instant: datetime, words: Any) -> SafeString:
    """The words of a distance, with the clock beside them and the tenant's own time in the title."""
    at, instant, zone = _at(context), instant.astimezone(UTC), _zone(context)
    local = f"{instant.astimezone(zone):%Y-%m-%d %H:%M} {zone.key}" if zone else f"{instant:%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time datetime="{}" title="{}">{} <span class="quiet">({})</span></time>',
        instant.isoformat(timespec="seconds"),
        local,
        words,
        _clock(instant, at),
    )


def left(context: Context, instant: datetime | None, never: Any = "") -> SafeString:
    """How long there is until a deadline, or since it: "8 d left (3 Dec, 03:54 UTC)". Nothing is `never`."""
    if instant is None:
        return format_html('<span class="quiet">{}</span>', never or _("no deadline"))
    seconds = (instant - _at(context)).total_seconds()
    words = (_("%(span)s left") if seconds > 0 else _("%(span)s past")) % {"span": span(seconds)}
    return _told(context, instant, words)


def due(context: Context, instant: datetime | None) -> SafeString:
    """A deadline as a state: red when it is over, amber on its last day, else plain words."""
    at = _at(context)
    if instant is None or instant - at > _NEAR:
        return left(context, instant)
    seconds = (instant - at).total_seconds()
    text = (_("%(span)s left") if seconds > 0 else _("%(span)s overdue")) % {"span": span(seconds)}
    return _told(context, instant, tone("!" if seconds > 0 else "x", text))


def said(context: Context, value: Any) -> Any:
    """One fact: an instant as `when` says it, yes and no as words, nothing as a dash, anything else as it is."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value is None or value == "":
        return "\N{EN DASH}"
    return when(context, value) if isinstance(value, datetime) else value


def as_of(context: Context, instant: datetime | None = None) -> SafeString:
    """When what is shown was so: UTC, and the tenant's own time."""
    shown = (instant or context.get("at") or datetime.now(UTC)).astimezone(UTC)
    zone = _zone(context)
    local = format_html(" · {} {}", f"{shown.astimezone(zone):%H:%M}", zone.key) if zone else ""
    return format_html(
        '<p class="as-of"><time datetime="{}">{}</time>{}</p>',
        shown.isoformat(timespec="seconds"),
        _("as of %(at)s UTC") % {"at": f"{shown:%Y-%m-%d %H:%M}"},
        local,
    )


def lasting(value: timedelta | float) -> str:
    """A duration in words: "12 min"."""
    return span(value.total_seconds() if isinstance(value, timedelta) else value)
