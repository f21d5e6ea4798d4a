"""What our states look like: a shape, a colour and a word each; and lengths of time and of lines."""

from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# Shape, name of the colour, what a screen reader needs no word for, since the word stands beside it.
TONES = {
    "=": "equal",
    "!": "differs",
    "x": "broken",
    "?": "unknown",
    "~": "waiting",
    "#": "excepted",
    "-": "over",
}

# Shape and word of every state of our nouns. A state of two nouns means the same in both.
STATES: dict[str, tuple[str, Any]] = {
    "active": ("=", gettext_lazy("active")),
    "pending": ("~", gettext_lazy("pending")),
    "suspended": ("!", gettext_lazy("suspended")),
    "deprovisioned": ("-", gettext_lazy("ended")),
    "archived": ("-", gettext_lazy("archived")),
    "equal": ("=", gettext_lazy("equal")),
    "differs": ("!", gettext_lazy("differs")),
    "not_measured": ("?", gettext_lazy("not measured")),
    "overdue": ("x", gettext_lazy("overdue")),
    "unknown": ("?", gettext_lazy("unknown")),
    "offered": ("~", gettext_lazy("offered")),
    "accepted": ("=", gettext_lazy("accepted")),
    "declined": ("!", gettext_lazy("declined")),
    "ended": ("-", gettext_lazy("ended")),
    "open": ("!", gettext_lazy("open")),
    "acknowledged": ("~", gettext_lazy("acknowledged")),
    "remediating": ("~", gettext_lazy("being fixed")),
    "resolved": ("=", gettext_lazy("resolved")),
    "reopened": ("!", gettext_lazy("open again")),
    "excepted": ("#", gettext_lazy("excepted")),
    "false_positive": ("-", gettext_lazy("false positive")),
    "draft": ("-", gettext_lazy("draft")),
    "evaluated": ("~", gettext_lazy("evaluated")),
    "cleared": ("~", gettext_lazy("cleared")),
    "waiting": ("~", gettext_lazy("waits for people")),
    "tripped": ("x", gettext_lazy("stopped by the brake")),
    "approved": ("=", gettext_lazy("approved")),
    "rejected": ("-", gettext_lazy("rejected")),
    "lapsed": ("-", gettext_lazy("lapsed")),
    "void": ("-", gettext_lazy("void")),
    "executing": ("~", gettext_lazy("being executed")),
    "verifying": ("~", gettext_lazy("being verified")),
    "done": ("=", gettext_lazy("done")),
    "done_with_residue": ("!", gettext_lazy("done, with residue")),
    "following": ("=", gettext_lazy("following")),
    "running": ("~", gettext_lazy("running")),
    "settling": ("~", gettext_lazy("being settled")),
    "closed": ("=", gettext_lazy("closed")),
    "abandoned": ("-", gettext_lazy("never launched")),
    "incomplete": ("?", gettext_lazy("incomplete")),
    "failed": ("x", gettext_lazy("failed")),
    "stopped": ("-", gettext_lazy("stopped")),
    "simulated": ("-", gettext_lazy("simulated")),
    "listing": ("~", gettext_lazy("listing")),
    "complete": ("=", gettext_lazy("complete")),
    "certified": ("=", gettext_lazy("still needed")),
    "revoked": ("!", gettext_lazy("suspended here, not yet read as off")),
    "silent": ("?", gettext_lazy("silent past the deadline")),
    "verified_off": ("=", gettext_lazy("read as off")),
    "applied": ("=", gettext_lazy("applied")),
    "same": ("-", gettext_lazy("no change")),
    "superseded": ("-", gettext_lazy("superseded")),
    "duplicate": ("-", gettext_lazy("repeat")),
    "held": ("~", gettext_lazy("held")),
    "parked": ("~", gettext_lazy("parked")),
    "given_up": ("-", gettext_lazy("given up")),
    "refused": ("x", gettext_lazy("refused")),
    "planned": ("~", gettext_lazy("planned")),
    "emptying": ("~", gettext_lazy("emptying")),
    "folding": ("~", gettext_lazy("folding")),
    "compared": ("=", gettext_lazy("compared")),
}

# One drawing for each shape, so that no state is told by colour alone.
SHAPES = {
    "=": '<circle cx="8" cy="8" r="7"/><path d="M5 6.2h6M5 9.8h6"/>',
    "!": '<path d="M8 1.2 15.2 14.5H.8Z"/><path d="M8 5.8v4M8 11.6v1"/>',
    "x": '<path d="M5 1h6l4 4v6l-4 4H5l-4-4V5Z"/><path d="m5.4 5.4 5.2 5.2M10.6 5.4l-5.2 5.2"/>',
    "?": '<rect x="1" y="1" width="14" height="14" rx="1" stroke-dasharray="2.4 1.8"/>'
    '<path d="M5.8 6a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.5M8 11.4v1"/>',
    "~": '<path d="M8 .8 15.2 8 8 15.2.8 8Z"/><path d="M4.6 8.6c1-1.6 2.2-1.6 3.4-.6s2.4 1 3.4-.6"/>',
    "#": '<rect x="1" y="1" width="14" height="14" rx="3"/><path d="M6.5 4.5v7M9.5 4.5v7M4.5 6.5h7M4.5 9.5h7"/>',
    "-": '<circle cx="8" cy="8" r="6"/><path d="M5.5 8h5"/>',
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
WIDTH, HEIGHT = 240, 48


def tone(shape: str, words: Any) -> SafeString:
    """Shape, colour and words. Raises `KeyError` for a shape that has no meaning."""
    return format_html(
        '<span class="state state-{}"><svg class="shape" viewBox="0 0 16 16" aria-hidden="true">{}</svg>{}</span>',
        TONES[shape],
        mark_safe(SHAPES[shape]),  # noqa: S308 - our own drawing
        words,
    )


def state_word(state: Any, words: Any = "") -> SafeString:
    """A state by its code, with its own words or others. A code nobody knows is shown as unknown, with the code."""
    shape, own = STATES.get(str(state), ("?", str(state).replace("_", " ")))
    return tone(shape, words or own)


def span(seconds: float) -> str:
    """A length of time in its largest whole unit: "40 min", "6 h", "3 d"."""
    whole = int(abs(seconds))
    if whole < _MINUTE:
        return _("%(n)d s") % {"n": whole}
    for unit, below, text in ((_MINUTE, _HOUR, _("%(n)d min")), (_HOUR, 2 * _DAY, _("%(n)d h"))):
        if whole < below:
            return text % {"n": whole // unit}
    return _("%(n)d d") % {"n": whole // _DAY}


def points(values: Sequence[float | None]) -> tuple[list[list[tuple[float, float]]], float, float]:
    """The lines between gaps, in a box of WIDTH by HEIGHT, with the lowest and highest value."""
    present = [v for v in values if v is not None]
    low, high = (min(present), max(present)) if present else (0.0, 0.0)
    reach = (high - low) or 1
    step = WIDTH / max(len(values) - 1, 1)
    lines: list[list[tuple[float, float]]] = [[]]
    for position, value in enumerate(values):
        if value is None:
            lines.append([])
        else:
            lines[-1].append((position * step, HEIGHT - 3 - (value - low) / reach * (HEIGHT - 6)))
    return [line for line in lines if line], low, high
