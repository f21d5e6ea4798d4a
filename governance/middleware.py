"""What every request passes: one log line, and for a page one tenant, one transaction, one cause.

`/t/<slug>/…` loses its prefix here: the views, and `reverse()`, know nothing of it. A page of a tenant finds on its
request `tenant`, `roles`, `at` (the one clock of the request) and `user`; see `governance.pages`.
"""

import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import structlog
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, get_script_prefix, reverse, set_script_prefix
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.account import Account
from accounts.models.tenant import Tenant
from accounts.models.user import RoleName, User
from accounts.rules import ROLES, Refused, Word, roles
from audit.models import Cause, CauseKind
from audit.redaction import redact_path, redact_text
from audit.scope import scope

log = structlog.get_logger("rollcall.web")

Answerer = Callable[[HttpRequest], HttpResponse]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# They answer by themselves: probes must work without a database, and the receivers open their own scopes.
UNTOUCHED = ("/healthz", "/readyz", "/metrics", "/scim/", "/files/", "/static/")
# Where people get in, and out: last sign-in, links and sessions are written, whatever the method.
SIGN_IN = ("/login/", "/logout/", "/password/", "/welcome/")
# What exists inside a tenant alone.
INSIDE = ("/admin/", "/my/", "/api/")
_IN_TENANT = re.compile(r"^/t/(?P<slug>[A-Za-z0-9_-]{1,60})(?P<rest>/.*)?$", re.DOTALL)
# As proxies make them, and too few letters for what somebody might have put there by mistake.
_REQUEST_ID = re.compile(r"[0-9A-Fa-f-]{8,64}")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")
SUBJECT_LENGTH = ACTOR_LENGTH = 200
REASON_LENGTH = 4000

# Name of the address, label, key after `g`. What a role may read decides which of them it sees.
NAVIGATION = (
    ("front", gettext_lazy("Roll"), "h"),
    ("accounts", gettext_lazy("Accounts"), "a"),
    ("findings", gettext_lazy("Findings"), "f"),
    ("systems", gettext_lazy("Systems"), "s"),
    ("freshness", gettext_lazy("Freshness"), "q"),
    ("runs", gettext_lazy("Runs"), "r"),
    ("plans", gettext_lazy("Plans"), "p"),
    ("approvals", gettext_lazy("Approvals"), "v"),
    ("campaigns", gettext_lazy("Campaigns"), "c"),
    ("ledger", gettext_lazy("Ledger"), "l"),
    ("people", gettext_lazy("People"), "e"),
    ("admin:index", gettext_lazy("Records"), "d"),
)
OWN_NAVIGATION = (("my", gettext_lazy("My accounts"), "m"),)


def printable(text: str) -> str:
    """The text with a question mark for what neither a log line nor a row can hold."""
    return _UNPRINTABLE.sub("?", text)


def loggable(path: str) -> str:
    """A path as it may stand in a log line or a cause: without what is not ours in it, and never longer than a subject."""
    return redact_path(printable(path))[:SUBJECT_LENGTH]


class RequestLogMiddleware:
    """One structured line for each request, and an id that the answer carries. No header, body or query value."""

    def __init__(self, get_response: Answerer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, then log."""
        asked = request.headers.get("X-Request-Id", "")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        # A quoted cookie can hold a NUL, which no column takes; a cookie of ours never does.
        for name in [name for name, value in request.COOKIES.items() if _UNPRINTABLE.search(value)]:
            del request.COOKIES[name]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=request_id)
        path, started = loggable(request.path), time.monotonic()
        try:
            response = self.get_response(request)
            response["X-Request-Id"] = request_id
            milliseconds = round((time.monotonic() - started) * 1000)
            log.info("request", method=request.method, path=path, status=response.status_code, ms=milliseconds)
        finally:
            structlog.contextvars.clear_contextvars()
        return response


class _GiveBack(Exception):
    """Leaves the scope with an answer and without its writes."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__()
        self.response = response


class TenantMiddleware:
    """Finds the tenant, the person and their roles, and runs the view inside its scope."""

    def __init__(self, get_response: Answerer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Route by address: untouched, in a tenant, or global."""
        page: Any = request
        page.at = datetime.now(UTC)
        page.tenant, page.roles, page.view_failed = None, frozenset(), False
        if request.path_info.startswith(UNTOUCHED):
            return self.get_response(request)
        prefix = get_script_prefix()
        try:
            found = _IN_TENANT.match(request.path_info)
            if found:
                return self._in_tenant(request, slug=found["slug"], rest=found["rest"] or "")
            return self._global(request)
        except _GiveBack as given_back:
            return given_back.response
        finally:
            set_script_prefix(prefix)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Whatever a view raises takes its writes with it. A refusal is a page that says the rule."""
        page: Any = request
        page.view_failed = True
        return refusal(request, str(exception)) if isinstance(exception, Refused) else None

    def _global(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path.startswith(INSIDE):
            if request.method in SAFE and not path.startswith("/api/"):
                return HttpResponseRedirect("/")
            raise Http404(_("this address exists inside a tenant alone"))
        if not path.startswith(SIGN_IN):
            with scope():
                return self._view(request)
        with scope(cause=_cause(request, kind=CauseKind.SIGN_IN)):
            response = self._view(request)
            # A form shown or refused wrote nothing: no cause is kept of it, or visitors could fill the evidence.
            if not 300 <= response.status_code < 400:  # noqa: PLR2004 - a redirect is how a form says "done"
                raise _GiveBack(response)
            return response

    def _in_tenant(self, request: HttpRequest, *, slug: str, rest: str) -> HttpResponse:
        user = request.user
        if isinstance(user, AnonymousUser):
            return _sign_in_first(request, rest)
        page: Any = request
        tenant = Tenant.objects.filter(slug=slug).first()
        held = roles(user, tenant=tenant.pk, at=page.at) if tenant else frozenset()
        if tenant is None or not held:
            raise Http404(_("no such tenant, or you have no role in it"))
        structlog.contextvars.bind_contextvars(user=str(user.pk), tenant=str(tenant.pk))
        if rest != "/" and not rest.startswith(INSIDE):
            return _outside(request, rest)
        page.tenant, page.roles = tenant, held
        _strip(request, slug=slug, rest=rest)
        kind = CauseKind.API if rest.startswith("/api/") else CauseKind.PAGE
        cause = None if request.method in SAFE else _cause(request, kind=kind)
        with scope(tenant=tenant.pk, cause=cause):
            ended = _ended_here(user, at=page.at)
            if ended is not None:
                page.roles = frozenset()
                raise _GiveBack(refusal(request, _ended_sentence(ended)))
            return self._view(request)

    def _view(self, request: HttpRequest) -> HttpResponse:
        """The view's answer. Raises `_GiveBack` with it where its writes must not stay."""
        response = self.get_response(request)
        page: Any = request
        if page.view_failed or response.status_code >= 500:  # noqa: PLR2004 - a server error keeps nothing
            raise _GiveBack(response)
        return response


def _ended_here(user: User, *, at: datetime) -> Account | None:
    """The latest account of somebody who has accounts in this tenant and none that is active: roles give nothing."""
    own = list(Account.objects.filter(identity=user.identity_id).order_by("-state_since")[:20])
    return own[0] if own and not any(account.is_active(at=at) for account in own) else None


def _cause(request: HttpRequest, *, kind: CauseKind) -> Cause:
    user = request.user
    who: dict[str, Any] = {"actor": "somebody not signed in"}
    if isinstance(user, User):
        structlog.contextvars.bind_contextvars(user=str(user.pk))
        who = {"actor": user.get_username()[:ACTOR_LENGTH], "user_id": user.pk, "identity_id": user.identity_id}
    # A body is read here only where it is a form.
    reason = request.POST.get("reason", "") if kind == CauseKind.PAGE else ""
    reason = redact_text(reason.replace("\x00", "").strip())[:REASON_LENGTH]
    return Cause(kind=kind, reason=reason, subject=loggable(request.path_info), **who)


def _strip(request: HttpRequest, *, slug: str, rest: str) -> None:
    # As Django does for SCRIPT_NAME: `reverse()` prepends the script prefix of this thread.
    prefix = f"{request.META.get('SCRIPT_NAME', '').rstrip('/')}/t/{slug}"
    request.path_info = request.META["PATH_INFO"] = rest
    request.META["SCRIPT_NAME"] = prefix
    set_script_prefix(f"{prefix}/")


def _sign_in_first(request: HttpRequest, rest: str) -> HttpResponse:
    if rest.startswith("/api/"):
        return JsonResponse({"detail": _("Sign in first: the API takes the session of a person.")}, status=403)
    return HttpResponseRedirect(f"/login/?next={quote(request.get_full_path())}")


def _outside(request: HttpRequest, rest: str) -> HttpResponse:
    """A global page asked for below a tenant, as an address reversed there is: show it where it lives."""
    if request.method in SAFE and f"{rest}/" in ("/", *INSIDE):
        return HttpResponseRedirect(f"{request.path}/")
    if request.method in SAFE and rest.startswith(SIGN_IN):
        return HttpResponseRedirect(rest)
    raise Http404(_("there is no such page in a tenant"))


def _ended_sentence(account: Account) -> str:
    return _(
        "Your account %(name)s here is %(state)s since %(since)s UTC, so your roles here give nothing."
        " It comes back only by a decision of others: ask the security people of this tenant."
    ) % {
        "name": account.user_name,
        "state": account.get_state_display(),
        "since": f"{account.state_since:%Y-%m-%d %H:%M}",
    }


def refusal(request: HttpRequest, reason: str) -> HttpResponse:
    """The answer to somebody who may not: the rule, who could, and how to ask."""
    if request.path_info.startswith("/api/"):
        return JsonResponse({"detail": reason}, status=403)
    return render(request, "403.html", {"reason": reason}, status=403)


def allowed(held: frozenset[RoleName], word: Word) -> bool:
    """Whether one of the roles held allows it; the request knows them, so this asks nobody."""
    return any(word in ROLES[name] for name in held)


def _entries(held: frozenset[RoleName], path: str) -> list[dict[str, Any]]:
    shown = NAVIGATION if allowed(held, Word.ROLL_READ) else ()
    own = OWN_NAVIGATION if allowed(held, Word.REVIEW_ANSWER) else ()
    found = []
    for name, label, key in (*shown, *own):
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        is_current = path == url if name == "front" else path.startswith(url)
        found.append({"name": name, "label": label, "url": url, "key": key, "is_current": is_current})
    return found


def frame(request: HttpRequest) -> dict[str, Any]:
    """What the frame of every page shows: tenant, roles, navigation, the clock. It asks the database nothing."""
    page: Any = request
    held: frozenset[RoleName] = getattr(page, "roles", frozenset())
    tenant = getattr(page, "tenant", None)
    return {
        "tenant": tenant,
        "roles": sorted(str(name.label) for name in held),
        "navigation": _entries(held, request.path) if tenant else [],
        "at": getattr(page, "at", None) or datetime.now(UTC),
    }
