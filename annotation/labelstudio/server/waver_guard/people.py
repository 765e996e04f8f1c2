"""Who is asking: nobody, a rater in one project, or Waver itself."""

import hmac
import ipaddress
from dataclasses import dataclass

from django.conf import settings

from waver_guard import waver
from waver_guard.refusals import Refused

RATER_DOMAIN = "raters.invalid"  # never a real address: no mail can ever be sent there


@dataclass(frozen=True)
class Rater:
    """A rater who came from Waver, for one project.

    `pause` is a sentence where they get no further recording for now, else "".
    """

    user: object
    project: int
    key: str
    pause: str = ""


@dataclass(frozen=True)
class Service:
    """Waver itself, by its token, from a private address."""


def email_of(rater_id):
    """Give the address that stands for a Waver account here."""
    return f"{rater_id}@{RATER_DOMAIN}"


def identify(request):
    """Give the Rater or the Service that asks.

    Raises Refused for everybody else; Waver being unreachable is a refusal for the moment.
    """
    return _service(request) if claims_token(request) else _rater(request)


def claims_token(request):
    """Tell whether the request shows a token, true or false."""
    return "HTTP_AUTHORIZATION" in request.META or "HTTP_X_API_KEY" in request.META


def _service(request):
    given = request.META.get("HTTP_AUTHORIZATION", "")
    wanted = f"Token {settings.WAVER_SERVICE_TOKEN}"
    right = hmac.compare_digest(given.encode(), wanted.encode())
    if not right or not _is_private(request) or request.user.is_authenticated:
        raise Refused("Access tokens are not used here. Start labelling from your page in Waver.")
    return Service()


def _is_private(request):
    """Tell whether the request came straight from a private address, past no proxy."""
    if "HTTP_X_FORWARDED_FOR" in request.META or "HTTP_FORWARDED" in request.META:
        return False
    address = request.META.get("REMOTE_ADDR") or ""
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return address == ""  # a Unix socket has no address


def _rater(request):
    key, project = request.session.get("waver_key"), request.session.get("waver_project")
    if not request.user.is_authenticated or not key or not project:
        raise Refused("You are not signed in here. Start labelling from your page in Waver.")
    try:
        status, answer = waver.ask("/internal/label-studio/session", {"key": key})
    except waver.Unreachable as error:
        raise Refused(
            "Waver does not answer at the moment, so labelling waits. Your last submitted work is "
            "safe; try again in a minute.",
            status=503,
        ) from error
    if status != 200:
        request.session.flush()
        raise Refused(answer.get("detail") or "Your stay here has ended. Sign in to Waver again.")
    same = (
        answer.get("project") == project
        and request.user.email == email_of(answer.get("rater"))
        and request.user.is_active
        and not request.user.is_staff
        and not request.user.is_superuser
    )
    if not same or not _is_member(request.user, project):
        request.session.flush()
        raise Refused("You have no work in this project. Start labelling from your page in Waver.")
    return Rater(user=request.user, project=project, key=key, pause=answer.get("pause") or "")


def _is_member(user, project):
    from projects.models import ProjectMember

    return ProjectMember.objects.filter(user=user, project_id=project, enabled=True).exists()
