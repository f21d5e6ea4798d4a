"""What is typed about systems, their connections, policies and tokens."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models.system import ReactivationPolicy, SystemKind
from governance.asking import LONGEST_EXCEPTION
from governance.pages import ReasonForm, end_of_day, plain
from provisioning import connections
from provisioning.authority import NOT_BY_VALUE, RuleKind
from provisioning.connectors.egress import EgressError, Origin
from provisioning.connectors.files import LEAST_SECRET
from provisioning.models.connection import Connection, Connector
from provisioning.scim.metadata.catalogue import ENTERPRISE_SCHEMA, ENTERPRISE_URN, USER
from provisioning.systems import MOST_GRACE
from provisioning.tokens import TokenMay

LONGEST_TOKEN = timedelta(days=366)
USUAL_TOKEN = timedelta(days=180)
LONGEST_OVERLAP = 168  # hours
# What may stand in an Authorization header (RFC 6750 and a little more), as the outbound client checks it.
_VISIBLE = re.compile(r"[\x21-\x7e]*")


class SystemForm(ReasonForm):
    """A new system: its name, and what it is to us."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        help_text=gettext_lazy("As your people call it: “Okta prod”. It stands in the journal."),
        max_length=200,
        validators=[plain],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=SystemKind.choices,
        help_text=gettext_lazy("A directory tells us who there is; an application is given accounts."),
    )
    field_order = ("name", "kind", "reason")


class PolicyForm(ReasonForm):
    """What a wish to come back needs."""

    policy = forms.ChoiceField(label=gettext_lazy("An ended account comes back"), choices=ReactivationPolicy.choices)
    grace_hours = forms.IntegerField(
        label=gettext_lazy("Hours of grace"),
        help_text=gettext_lazy("How long after its end an account comes back automatically, where that is chosen."),
        min_value=1,
        max_value=MOST_GRACE,
    )
    field_order = ("policy", "grace_hours", "reason")


def by_value() -> list[tuple[str, str]]:
    """The attributes by a value of which an account can end: single and simple, and kept of what arrives."""
    known = [(a, a.name) for a in USER.core] + [(a, f"{ENTERPRISE_URN}:{a.name}") for a in ENTERPRISE_SCHEMA.attributes]
    return [
        ("", _("none")),
        *(
            (path, attribute.name)
            for attribute, path in known
            if attribute.kind in {"string", "boolean"} and not attribute.multi_valued and attribute.stored
            if attribute.mutability == "readWrite" and path.casefold() not in NOT_BY_VALUE
        ),
    ]


class RuleForm(ReasonForm):
    """What a system's word is worth for one field. A value that ends somebody now is confirmed by their number."""

    kind = forms.ChoiceField(label=gettext_lazy("From now on"), choices=RuleKind.choices, widget=forms.RadioSelect)
    field = forms.ChoiceField(
        label=gettext_lazy("Attribute"),
        help_text=gettext_lazy(
            "Only for a value of an attribute. What is in no schema of ours is not taken in: let the provider map it to "
            "one of these, such as userType."
        ),
        choices=by_value,
        required=False,
    )
    values = forms.CharField(
        label=gettext_lazy("Values, or names of groups"),
        help_text=gettext_lazy("One on each line; in any case. Only for the rules by which an account ends."),
        max_length=20_000,
        required=False,
        validators=[plain],
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
    )
    typed = forms.CharField(
        label=gettext_lazy("How many accounts end by it"),
        help_text=gettext_lazy("Needed only where accounts that are on have such a value now: the form says how many."),
        max_length=12,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "numeric"}),
    )
    field_order = ("kind", "field", "values", "typed", "reason")

    def __init__(self, *args: Any, ended_by: Callable[[str, list[str]], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ended_by = ended_by

    def clean_values(self) -> list[str]:
        """The lines that say something."""
        return [line.strip() for line in str(self.cleaned_data["values"]).splitlines() if line.strip()]

    def clean(self) -> dict[str, Any]:
        """Ask for what the kind needs, and for the number of those who end."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        kind, field, values = cleaned.get("kind"), cleaned.get("field", "").strip(), cleaned.get("values", [])
        if kind == RuleKind.ATTRIBUTE_ENDS and not field:
            self.add_error("field", _("Name the attribute."))
        if kind in {RuleKind.ATTRIBUTE_ENDS, RuleKind.GROUP_ENDS} and not values:
            self.add_error("values", _("Write at least one."))
        if kind == RuleKind.ATTRIBUTE_ENDS and not self.errors:
            ending = self.ended_by(field, values)
            if ending and cleaned.get("typed", "").strip() != str(ending):
                self.add_error(
                    "typed",
                    ngettext(
                        "%(n)d account that is on has such a value now, and ends when the system says so again. "
                        "Type %(n)d to go on.",
                        "%(n)d accounts that are on have such a value now, and end when the system says so again. "
                        "Type %(n)d to go on.",
                        ending,
                    )
                    % {"n": ending},
                )
        return cleaned


class UntilForm(ReasonForm):
    """With an end: a day, which ends at its end in the tenant's time zone."""

    longest: ClassVar[timedelta] = LONGEST_TOKEN
    too_long: ClassVar[Any] = gettext_lazy("Choose a day within a year: every token is replaced one day.")
    until = forms.DateField(label=gettext_lazy("Good until"), widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, zone: ZoneInfo, at: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone, self.at = zone, at

    def clean_until(self) -> datetime:
        """The end of the typed day. Refuses a past one, and one further than `longest`."""
        typed: date = self.cleaned_data["until"]
        until = end_of_day(typed, zone=self.zone)
        if until <= self.at:
            raise ValidationError(_("Choose a day that lies ahead."))
        if until > self.at + self.longest:
            raise ValidationError(self.too_long)
        return until


class ReturnsForm(UntilForm):
    """Until when a system's policy is to have effect."""

    longest = LONGEST_EXCEPTION
    too_long = gettext_lazy("Choose a day within 180 days: what is excepted is asked again.")
    field_order = ("until", "reason")


class TokenForm(UntilForm):
    """A new token. `after` is the newest token that the form knew: sent twice, it makes one."""

    label = forms.CharField(
        label=gettext_lazy("Label"),
        help_text=gettext_lazy("Where it will be typed in: “Okta, provisioning tab”."),
        max_length=100,
        validators=[plain],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    may = forms.ChoiceField(
        label=gettext_lazy("It may"),
        choices=[
            (f"{TokenMay.READ} {TokenMay.WRITE}", gettext_lazy("read and write")),
            (TokenMay.READ.value, gettext_lazy("read alone")),
        ],
        widget=forms.RadioSelect,
        initial=f"{TokenMay.READ} {TokenMay.WRITE}",
    )
    after = forms.CharField(required=False, widget=forms.HiddenInput)
    field_order = ("label", "may", "until", "reason")

    def clean_may(self) -> list[str]:
        """The words of `TokenMay`."""
        return str(self.cleaned_data["may"]).split()


class RotateForm(UntilForm):
    """A new token in the place of an old one, and how long both are good."""

    overlap = forms.IntegerField(
        label=gettext_lazy("Hours that the old one goes on"),
        help_text=gettext_lazy("Long enough to type the new one in. 0 ends the old one at once."),
        min_value=0,
        max_value=LONGEST_OVERLAP,
        initial=24,
    )
    after = forms.CharField(required=False, widget=forms.HiddenInput)
    field_order = ("overlap", "until", "reason")


class ReadingForm(ReasonForm):
    """How a system is read, whatever it speaks. A stored secret is never shown."""

    canary_user_name = forms.CharField(
        label=gettext_lazy("Canary"),
        help_text=gettext_lazy("The user name of an account that every reading must show, as proof that it is whole."),
        max_length=320,
        validators=[plain],
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    cadence_minutes = forms.IntegerField(
        label=gettext_lazy("Read every (minutes)"), min_value=1, max_value=1_440, initial=15
    )
    freshness_minutes = forms.IntegerField(
        label=gettext_lazy("Counts as measured for (minutes)"),
        help_text=gettext_lazy("Past that age of its last complete reading the system is grey."),
        min_value=1,
        max_value=43_200,
        initial=60,
    )
    shrink_percent = forms.IntegerField(
        label=gettext_lazy("A reading may be smaller than the last by (percent)"),
        min_value=0,
        max_value=100,
        initial=10,
    )
    page_size = forms.IntegerField(label=gettext_lazy("Accounts per page"), min_value=1, max_value=1_000, initial=100)

    def __init__(self, *args: Any, existing: Connection | None, **kwargs: Any) -> None:
        self.existing = existing
        if existing is not None:
            names = [n for n in self.base_fields if n not in {"secret", "forget", "reason"}]
            kwargs["initial"] = {name: getattr(existing, name) for name in names}
        super().__init__(*args, **kwargs)

    def clean_secret(self) -> str:
        """What was typed. Refuses what no header can carry."""
        typed: str = self.cleaned_data["secret"]
        if not _VISIBLE.fullmatch(typed):
            raise ValidationError(_("Copy the token again: it has characters other than visible ASCII."))
        return typed


class FilesForm(ReadingForm):
    """A system that sends files, and what they are signed with."""

    secret = forms.CharField(
        label=gettext_lazy("Secret that signs its files"),
        help_text=gettext_lazy("At least 32 characters by chance, such as “openssl rand -hex 32” makes them."),
        required=False,
        max_length=4_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    field_order = (
        "secret", "canary_user_name", "cadence_minutes", "freshness_minutes", "shrink_percent", "page_size", "reason",
    )  # fmt: skip

    def __init__(self, *args: Any, existing: Connection | None, **kwargs: Any) -> None:
        super().__init__(*args, existing=existing, **kwargs)
        self.is_stored = existing is not None and existing.connector == Connector.FILE
        if self.is_stored:
            self.fields["secret"].help_text = _("One is stored. Leave this empty to keep it.")

    def clean_secret(self) -> str:
        """What was typed: long enough, or nothing where one is stored."""
        typed = super().clean_secret()
        if not typed and self.is_stored:
            return typed
        if len(typed) < LEAST_SECRET:
            raise ValidationError(_("Take at least %(n)d characters, by chance.") % {"n": LEAST_SECRET})
        return typed


class ConnectionForm(ReadingForm):
    """A SCIM server that is read. A stored token goes to its own origin alone."""

    base_url = forms.CharField(
        label=gettext_lazy("SCIM base URL of the system"),
        help_text=gettext_lazy("Where its Users and Groups are read: https://directory.example/scim/v2"),
        max_length=500,
        widget=forms.URLInput(attrs={"autocomplete": "off"}),
    )
    secret = forms.CharField(
        label=gettext_lazy("Bearer token towards the system"),
        required=False,
        max_length=4_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    forget = forms.BooleanField(label=gettext_lazy("Forget the stored token: it is read without one"), required=False)
    field_order = (
        "base_url", "secret", "forget", "canary_user_name", "cadence_minutes", "freshness_minutes", "shrink_percent",
        "page_size", "reason",
    )  # fmt: skip

    def __init__(self, *args: Any, existing: Connection | None, **kwargs: Any) -> None:
        super().__init__(*args, existing=existing, **kwargs)
        if existing is None or not existing.secret:
            del self.fields["forget"]
        elif existing.connector == Connector.SCIM:
            self.fields["secret"].help_text = _("One is stored. Leave this empty to keep it.")

    def clean(self) -> dict[str, Any]:
        """Refuse a new origin for the stored token: a token is sent to the origin it was entered for alone."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("forget") and cleaned.get("secret"):
            self.add_error("forget", _("Either enter a new token or forget the stored one."))
        is_kept = self.existing is not None and self.existing.secret and not cleaned.get("secret")
        if is_kept and not cleaned.get("forget") and self._is_elsewhere(cleaned.get("base_url", "")):
            self.add_error("secret", _("Enter the token for the new address: the stored one goes to its own alone."))
        return cleaned

    def _is_elsewhere(self, typed: str) -> bool:
        if self.existing is None or not typed:
            return False
        try:
            new = Origin.parse(typed.strip(), policy=connections.egress_policy())
        except EgressError:
            # The verb says what is wrong with it.
            return False
        # What is stored was normalised when it was stored.
        stored = urlsplit(self.existing.base_url)
        return new.root != f"{stored.scheme}://{stored.netloc}"


def changes_of(cleaned: dict[str, Any], *, connector: Connector) -> dict[str, Any]:
    """The arguments of `connections.change_connection` from a cleaned form, without a secret that stays."""
    values = {k: v for k, v in cleaned.items() if k not in {"reason", "forget", "secret"}}
    if cleaned["secret"] or cleaned.get("forget"):
        values["secret"] = cleaned["secret"]
    return {"connector": connector, "base_url": ""} | values
