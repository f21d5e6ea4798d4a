"""How people get in and out: sign-in, sign-out, passwords, one-use links, and the choice of a tenant.

Django's own views where they fit. Writes go through `accounts.people`, under the cause that the middleware opened.
"""

from datetime import datetime
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from accounts import people
from accounts.models.tenant import Tenant
from accounts.models.user import Role, RoleName, User
from accounts.rules import Word
from governance.middleware import allowed
from governance.pages import root_url
from governance.portal import throttle

NAME_LENGTH = 320


def _at(request: HttpRequest) -> datetime:
    page: Any = request
    at: datetime = page.at
    return at


class SignInForm(AuthenticationForm):
    """Name and password. A try is counted before it is made, so that many at once count as many."""

    username = forms.CharField(
        label=gettext_lazy("Sign-in name"),
        max_length=NAME_LENGTH,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}),
    )
    error_messages = {
        "invalid_login": gettext_lazy("Name and password do not belong together, or this person may not sign in."),
        "inactive": gettext_lazy("Name and password do not belong together, or this person may not sign in."),
    }

    def clean(self) -> dict[str, Any]:
        """Refuse when too many tries failed, else ask the password. Raises `ValidationError`."""
        username, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if self.request is None or username is None or not password:
            return self.cleaned_data
        address = throttle.address_of(self.request)
        pair = (throttle.PAIR, (username.strip().casefold(), address))
        until = throttle.count(pair, (throttle.ADDRESS, (address,)), at=_at(self.request))
        if until is not None:
            raise ValidationError(
                _("Too many tries failed from here. Try again at %(until)s UTC, or ask for a link below.")
                % {"until": f"{until:%H:%M:%S}"},
                code="throttled",
            )
        self.user_cache = authenticate(self.request, username=username, password=password)
        if self.user_cache is None:
            raise self.get_invalid_login_error()
        self.confirm_login_allowed(self.user_cache)
        throttle.forget(pair)
        return self.cleaned_data


class SignIn(LoginView):
    """The sign-in page. The session gets a new key; `next` must be an address of ours."""

    template_name = "sign_in/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True


class SignOut(LogoutView):
    """POST alone ends the session."""

    http_method_names = ["post", "options"]


def _form(request: HttpRequest, form: forms.Form, **words: str) -> HttpResponse:
    return render(request, "sign_in/form.html", {"form": form, **words}, status=422 if form.is_bound else 200)


@never_cache
@login_required
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def password_change(request: HttpRequest) -> HttpResponse:
    """A new password for somebody who knows the old one."""
    user = cast("User", request.user)
    form = PasswordChangeForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        changed = people.change_password(user=user, password=form.cleaned_data["new_password1"])
        update_session_auth_hash(request, changed)
        messages.success(request, _("Your password is changed. Your other sessions have ended."))
        return HttpResponseRedirect("/")
    return _form(
        request, form, heading=_("Change your password"), button=_("Change password"), back="chooser",
        sentence=_("Every other session of yours ends."),
    )  # fmt: skip


class ResetForm(forms.Form):
    """Who forgot a password."""

    who = forms.CharField(
        label=gettext_lazy("Sign-in name or mail address"),
        max_length=NAME_LENGTH,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none"}),
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def password_reset(request: HttpRequest) -> HttpResponse:
    """Ask for a one-use link by mail. The answer is the same whether or not somebody has that name."""
    form = ResetForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        who, address = form.cleaned_data["who"], throttle.address_of(request)
        pair = (throttle.RESET_PAIR, (who.casefold(), address))
        until = throttle.count(pair, (throttle.RESET_ADDRESS, (address,)), at=_at(request))
        if until is None:
            for user in people.by_name_or_mail(who):
                _send_link(user, at=_at(request))
            return HttpResponseRedirect(root_url("password_reset_sent"))
        words = _("Too many links were asked for from here. Try again at %(until)s UTC.")
        form.add_error(None, words % {"until": f"{until:%H:%M:%S}"})
    return _form(
        request, form, heading=_("I forgot my password"), button=_("Send me a link"), back="login",
        sentence=_("We mail a link that works once, for one hour."),
    )  # fmt: skip


def _send_link(user: User, *, at: datetime) -> None:
    if not user.email:
        return
    token = people.invite(user=user, at=at, lasts=people.RESET_FOR)
    words = {
        "username": user.get_username(),
        "link": settings.ROLLCALL_PUBLIC_URL + root_url("welcome", token=token),
        "until": f"{at + people.RESET_FOR:%H:%M}",
    }
    send_mail(_("Rollcall: set a new password"), render_to_string("sign_in/reset_mail.txt", words), None, [user.email])


@never_cache
@require_safe
def password_reset_sent(request: HttpRequest) -> HttpResponse:
    """What everybody reads who asked for a link."""
    words = {
        "heading": _("Look into your mail"),
        "sentence": _(
            "If somebody who may sign in has that name or mail address, a link is on its way. It works once, for one"
            " hour. No mail? Ask an administrator of your organisation."
        ),
    }
    return render(request, "sign_in/said.html", words)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def welcome(request: HttpRequest, token: str) -> HttpResponse:
    """A one-use link: set a password, then sign in with it. Looking at it uses nothing up."""
    try:
        invitation = people.open_invitation(token=token, at=_at(request))
        form = SetPasswordForm(invitation.user, request.POST or None)
        if request.method == "POST" and form.is_valid():
            people.accept_invitation(token=token, password=form.cleaned_data["new_password1"], at=_at(request))
            messages.success(request, _("Your password is set. Sign in with it."))
            return HttpResponseRedirect(root_url("login"))
    except people.BadLink as bad:
        words = {"heading": _("This link opens nothing"), "sentence": str(bad)}
        return render(request, "sign_in/said.html", words, status=410)
    return _form(
        request, form, heading=_("Welcome to Rollcall"), button=_("Set password"), back="login",
        sentence=_("You will sign in as %(name)s. Set your password.") % {"name": invitation.user.get_username()},
    )  # fmt: skip


def _choices(user: User, *, at: datetime) -> list[dict[str, Any]]:
    alive = Role.objects.filter(Q(until__isnull=True) | Q(until__gt=at), user=user, since__lte=at)
    held: dict[Any, set[RoleName]] = {}
    for tenant_id, name in alive.values_list("tenant", "name"):
        held.setdefault(tenant_id, set()).add(RoleName(name))
    everywhere = held.pop(None, set())
    tenants = Tenant.objects.all() if everywhere else Tenant.objects.filter(pk__in=held)
    found = []
    for tenant in tenants:
        roles = frozenset(held.get(tenant.pk, set()) | everywhere)
        start = "admin/" if allowed(roles, Word.ROLL_READ) else "my/"
        names = sorted(str(name.label) for name in roles)
        found.append({"tenant": tenant, "url": f"/t/{tenant.slug}/{start}", "roles": names})
    return found


@never_cache
@login_required
@require_safe
def chooser(request: HttpRequest) -> HttpResponse:
    """Where somebody starts: the only tenant they have a role in, or a choice of several (`?choose` shows it always).

    The root of a tenant is the same address below its prefix: the roll for who may read it, else one's own accounts.
    """
    user = cast("User", request.user)
    page: Any = request
    if page.tenant is not None:
        return HttpResponseRedirect(reverse("front") if allowed(page.roles, Word.ROLL_READ) else reverse("my"))
    choices = _choices(user, at=_at(request))
    if len(choices) == 1 and "choose" not in request.GET:
        return HttpResponseRedirect(choices[0]["url"])
    is_administrator = not choices and any(a.pk == user.pk for a in people.living_administrators(at=_at(request)))
    return render(request, "sign_in/chooser.html", {"tenants": choices, "is_administrator": is_administrator})
