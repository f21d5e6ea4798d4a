"""The components of our pages. `{% load rollcall %}`; each is one tag.

* `{% state_word "active" %}`: shape, word and colour of a state (`= ! x ? ~ #`); `{% tone "x" "6 d overdue" %}` for free words
* `{% when instant %}`: "40 min ago (13:22 UTC)"; `{% left instant %}`: "8 d left (3 Dec, 03:54 UTC)"; `{% due instant %}`: the
  same as a state; `{% as_of instant %}`: UTC and the tenant's own time
* `{% known value %}`: a number, or "unknown": unknown is never zero
* `{% verbs %}{% verb_button "Suspend" url word="account.suspend" %}{% endverbs %}`: what the reader may do, and why not;
  `{% reasons %}<table>…</table>{% endreasons %}`: the same around verbs in the rows of a list, each reason once below it
* `{% spark values label="Coverage" %}`: a line with its table; a gap is a gap
* `{% caused page_obj as versions %}`: the versions of a record, each with its cause
* `{% copy text %}`: code with a copy button; `{% field form.reason %}`, `{% errors form %}`: forms
* `{% root_url "logout" %}`: an address outside of the tenant; `{% may "plan.approve" as ruling %}`

None of them writes a `style=`: the content policy forbids it.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from django import template
from django.forms import BoundField
from django.template.base import NodeList, Parser, Token
from django.template.context import Context
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.rules import Ruling, Word
from audit.models import Cause
from governance import pages
from governance.templatetags.instants import as_of, due, lasting, left, said, when
from governance.templatetags.marks import HEIGHT, WIDTH, points, state_word, tone

register = template.Library()

_ids = itertools.count(1)


for of_values in (tone, state_word, lasting):
    register.simple_tag(of_values)
for of_instants in (when, left, due, said, as_of):
    register.simple_tag(of_instants, takes_context=True)


@register.simple_tag
def caused(records: Iterable[Any]) -> list[tuple[Any, Cause | None]]:
    """Each version of a record with the cause that wrote it: who acted, a person or not. One query."""
    rows = list(records)
    causes = Cause.objects.in_bulk({row.cause_id for row in rows if row.cause_id is not None})
    return [(row, causes.get(row.cause_id)) for row in rows]


@register.simple_tag
def known(value: Any, unit: str = "") -> SafeString:
    """A number with thin groups, or "unknown": a count that nobody made is not zero."""
    if value is None or value == "":
        return format_html('<span class="quiet">{}</span>', _("unknown"))
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return format_html('<span class="number">{}{}</span>', text, f" {unit}" if unit else "")


@register.simple_tag(takes_context=True)
def may(context: Context, word: str) -> Ruling:
    """The ruling on a permission word for the reader, true or false, with `.reason`."""
    return pages.may(context["request"], Word(word))


@register.simple_tag
def root_url(name: str) -> str:
    """The address of a page that belongs to no tenant."""
    return pages.root_url(name)


class VerbsNode(template.Node):
    """Verbs, with the reasons of those that the reader may not use below them, each once."""

    def __init__(self, inside: NodeList, *, is_bar: bool) -> None:
        self.inside, self.is_bar = inside, is_bar

    def render(self, context: Context) -> SafeString:
        """What is inside, then the reasons. A bar within another part's reasons is a part of that."""
        if context.get("refused_verbs") is not None:
            return format_html('<div class="buttons">{}</div>', self.inside.render(context))
        refused: dict[str, tuple[str, list[str]]] = {}
        with context.push(refused_verbs=refused):
            inside = self.inside.render(context)
        reasons = format_html_join(
            "", '<li id="{}"><b>{}</b>: {}</li>',
            ((key, ", ".join(dict.fromkeys(names)), why) for why, (key, names) in refused.items()),
        )  # fmt: skip
        below = format_html('<ul class="why-not">{}</ul>', reasons) if refused else ""
        if not self.is_bar:
            return format_html("{}{}", inside, below)
        return format_html('<div class="verbs"><div class="buttons">{}</div>{}</div>', inside, below)


@register.tag
def verbs(parser: Parser, token: Token) -> VerbsNode:  # noqa: ARG001 - Django's signature
    """`{% verbs %} … {% endverbs %}` around `verb_button` and `verb_post`."""
    inside = parser.parse(("endverbs",))
    parser.delete_first_token()
    return VerbsNode(inside, is_bar=True)


@register.tag
def reasons(parser: Parser, token: Token) -> VerbsNode:  # noqa: ARG001 - Django's signature
    """`{% reasons %} … {% endreasons %}` around a list whose rows have verbs."""
    inside = parser.parse(("endreasons",))
    parser.delete_first_token()
    return VerbsNode(inside, is_bar=False)


def _button_off(context: Context, label: str, reason: str) -> SafeString:
    refused: dict[str, tuple[str, list[str]]] | None = context.get("refused_verbs")
    if refused is None:
        key = f"why-{next(_ids)}"
        return format_html(
            '<button type="button" disabled aria-describedby="{0}">{1}</button> <span class="why-not" id="{0}">{2}</span>',
            key, label, reason,
        )  # fmt: skip
    key, names = refused.setdefault(reason, (f"why-{next(_ids)}", []))
    names.append(str(label))
    return format_html('<button type="button" disabled aria-describedby="{}">{}</button>', key, label)


def _refused(context: Context, word: str, ruling: Ruling | None, off: str) -> str:
    if off:
        return off
    if word:
        ruled = pages.may(context["request"], Word(word))
        if not ruled:
            return ruled.reason
    return ruling.reason if ruling is not None and not ruling else ""


@register.simple_tag(takes_context=True)
def verb_button(
    context: Context,
    label: str,
    url: str,
    *,
    word: str = "",
    ruling: Ruling | None = None,
    off: str = "",
    kind: str = "",
    key: str = "",
) -> SafeString:
    """A verb that leads to its form. `kind`: "", "primary", "danger". Off with a reason: by word, ruling or `off`."""
    reason = _refused(context, word, ruling, off)
    if reason:
        return _button_off(context, label, reason)
    shortcut = format_html(' data-key="{}"', key) if key else ""
    return format_html('<a class="button {}" href="{}"{}>{}</a>', kind, url, shortcut, label)


@register.simple_tag(takes_context=True)
def verb_post(
    context: Context,
    label: str,
    url: str,
    *,
    word: str = "",
    ruling: Ruling | None = None,
    off: str = "",
    kind: str = "",
    key: str = "",
) -> SafeString:
    """A verb that needs no reason and takes nothing away ("Read now"): a form of one button."""
    reason = _refused(context, word, ruling, off)
    if reason:
        return _button_off(context, label, reason)
    return format_html(
        '<form class="one-button" method="post" action="{}"><input type="hidden" name="csrfmiddlewaretoken" value="{}">'
        '<button type="submit" class="button {}"{}>{}</button></form>',
        url, context.get("csrf_token") or "", kind, format_html(' data-key="{}"', key) if key else "", label,
    )  # fmt: skip


def _drawn(line: list[tuple[float, float]]) -> SafeString:
    if len(line) == 1:
        # A line without length has the shape of its ends: round, however the picture is stretched.
        return format_html('<polyline class="dot" points="{0},{1} {0},{1}"/>', f"{line[0][0]:.1f}", f"{line[0][1]:.1f}")
    return format_html('<polyline points="{}"/>', " ".join(f"{x:.1f},{y:.1f}" for x, y in line))


@register.simple_tag
def spark(
    values: Sequence[float | None], *, label: str, names: Sequence[Any] = (), unit: str = "", empty: str = ""
) -> SafeString:
    """A small line, drawn here, with the same numbers as a table. `None` is a gap: nobody measured then.

    `names` are the columns' names (days), as many as values.
    """
    if not any(v is not None for v in values):
        return format_html('<p class="empty">{}</p>', empty or _("Not measured yet."))
    lines, low, high = points(values)
    gaps = sum(v is None for v in values)
    summary = _("%(label)s: from %(first)s to %(last)s, lowest %(low)s, highest %(high)s") % {
        "label": label,
        "first": _said(values[0], unit),
        "last": _said(values[-1], unit),
        "low": _said(low, unit),
        "high": _said(high, unit),
    }
    if gaps:
        summary += ngettext("; %(n)d gap", "; %(n)d gaps", gaps) % {"n": gaps}
    titles = list(names) or list(range(1, len(values) + 1))
    rows = format_html_join(
        "", "<tr><th scope=row>{}</th><td>{}</td></tr>", zip(titles, (_said(v, unit) for v in values), strict=True)
    )
    return format_html(
        '<figure class="spark"><figcaption>{} <b>{}</b></figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">{}</svg>'
        "<details><summary>{}</summary><table><caption>{}</caption>{}</table></details></figure>",
        label, _said(values[-1], unit), WIDTH, HEIGHT, summary,
        format_html_join("", "{}", ((_drawn(line),) for line in lines)), _("As a table"), label, rows,
    )  # fmt: skip


def _said(value: float | None, unit: str) -> str:
    if value is None:
        return _("not measured")
    return f"{value:,g}{' ' if unit and unit != '%' else ''}{unit}"


@register.simple_tag
def copy(text: str, label: str = "") -> SafeString:
    """Something to copy, whole, with a button that does it."""
    return format_html(
        '<span class="copy"><code>{0}</code><button type="button" data-copy="{0}" hidden>{1}'
        '<span class="hidden-words"> {2}</span></button></span>',
        text, _("Copy"), label,
    )  # fmt: skip


@register.simple_tag
def field(bound: BoundField) -> SafeString:
    """Label, hint, input and errors of one field, tied together."""
    return mark_safe(render_to_string("components/field.html", {"field": bound}))  # noqa: S308 - a template's output


@register.simple_tag
def errors(form: Any, heading: str = "") -> SafeString:
    """All errors of a form in one place, each a link to its field. Empty when there is none."""
    if not form.is_bound or form.is_valid():
        return SafeString("")
    return mark_safe(render_to_string("components/errors.html", {"form": form, "heading": heading}))  # noqa: S308 - a template's output
