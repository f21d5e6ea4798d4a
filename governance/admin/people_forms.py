"""What is typed about people who sign in."""

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.account import Account, AccountKind
from accounts.models.user import RoleName
from accounts.people import NAME_LENGTH
from governance.pages import ReasonForm, plain
from provisioning.changes import fold


class InviteForm(ReasonForm):
    """Who is invited, and which account here is theirs, where there is one."""

    username = forms.CharField(
        label=gettext_lazy("Sign-in name"),
        max_length=NAME_LENGTH,
        validators=[plain],
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    display_name = forms.CharField(
        label=gettext_lazy("Name"), max_length=200, required=False, validators=[plain],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )  # fmt: skip
    email = forms.EmailField(
        label=gettext_lazy("Mail address"),
        help_text=gettext_lazy("For notices, and for a new link when they forget the password."),
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    account = forms.CharField(
        label=gettext_lazy("User name of their account here"),
        help_text=gettext_lazy("Ties both to one person: nobody decides about themselves under another name."),
        max_length=320,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    field_order = ("username", "display_name", "email", "account", "reason")

    def clean_account(self) -> Account | None:
        """The one account of a person with that user name, or none where none was typed."""
        key = fold(self.cleaned_data["account"]).strip()
        if not key:
            return None
        own = Account.objects.filter(user_name_key=key, kind=AccountKind.PERSON).exclude(state="archived")
        found = list(own[:2])
        if len(found) != 1:
            raise forms.ValidationError(
                _("No person has that user name here.") if not found else _("Several accounts have that user name.")
            )
        return found[0]


class RoleForm(ReasonForm):
    """Which role."""

    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=RoleName.choices)
    field_order = ("role", "reason")
