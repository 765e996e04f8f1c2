"""Default deny: a rater reaches what `waver_guard.routes` lists, and nothing else.

The decision is taken in `process_view`, when Django has resolved the address: what is judged is
exactly the view and the ids that would run, however the address was written.
"""

from urllib.parse import urlsplit

from django.conf import settings
from django.middleware.csrf import CsrfViewMiddleware

from waver_guard import checks, refusals, routes
from waver_guard.people import Service, claims_token, identify
from waver_guard.refusals import Refused

SAFE = ("GET", "HEAD", "OPTIONS")
# The labelling interface builds functions from strings; apart from that, nothing comes from or goes
# to another origin, so no telemetry of the bundle ever leaves.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


_PAGE = "^projects/<int:pk>/data/"
_SCRIPT = b'<script src="/waver/labelling.js"></script>'


class Headers:
    """What every answer says to the browser."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        """Pass the request on and add the headers."""
        request.server_id = "waver"  # Label Studio's pages print it
        response = self.get_response(request)
        response["Content-Security-Policy"] = POLICY
        response["Referrer-Policy"] = "no-referrer"
        response["X-Content-Type-Options"] = "nosniff"
        response["Cross-Origin-Resource-Policy"] = "same-origin"
        if not response.has_header("Cache-Control") and not routes.is_public_file(request):
            response["Cache-Control"] = "no-store"
        return response


def _with_script(request, response):
    """Let the labelling page say why something was refused (labelling.js)."""
    page = request.resolver_match is not None and request.resolver_match.route == _PAGE
    if page and response.status_code == 200 and _SCRIPT not in response.content:
        response.content = response.content.replace(b"<head>", b"<head>" + _SCRIPT, 1)
    return response


class Guard:
    """Lets a request through to its view, or answers with a refusal."""

    def __init__(self, get_response):
        self.get_response = get_response
        self.csrf = CsrfViewMiddleware(get_response)

    def __call__(self, request):
        """Pass the request on; `process_view` decides, and may have taken a lock for the view."""
        try:
            return _with_script(request, self.get_response(request))
        finally:
            # An address without its closing slash runs through here twice: unlocked once.
            checks.unlock(request)

    def process_view(self, request, view, args, kwargs):
        """Give None to let the view run, or the refusal.

        1. Static files of the interface, health and the way in are open to everybody.
        2. Waver's own service account passes.
        3. A rater passes where a rule lists route and method and its check finds only their own.
        """
        request._dont_enforce_csrf_checks = True  # checked here, once, and not again by each view
        try:
            if routes.is_open(request):
                return None
            if routes.is_way_in(request):
                self._require_waver(request)
                return None
            rule = None if claims_token(request) else routes.rule_for(request)
            who = identify(request)
            request.waver_who = who
            if isinstance(who, Service):
                return None
            if request.method not in SAFE:
                self._require_own_page(request, view, args, kwargs)
            checks.refuse_foreign_words(request, who)
            return rule(request, who, kwargs)
        except Refused as refusal:
            return refusals.answer(request, refusal)

    def _require_own_page(self, request, view, args, kwargs):
        """Refuse a change that another site's page may have caused.

        The labelling interface sends no CSRF token, but every browser names the origin of a
        change; whoever names none must show the token.
        """
        origin = request.META.get("HTTP_ORIGIN")
        if origin is not None:
            if _origin(origin) == _origin(settings.LABEL_STUDIO_URL):
                return
        else:
            request._dont_enforce_csrf_checks = False
            refused = self.csrf.process_view(request, lambda *_: None, args, kwargs)
            request._dont_enforce_csrf_checks = True
            if refused is None:
                return
        raise Refused("This change did not come from the labelling page. Reload it and try again.")

    def _require_waver(self, request):
        """Refuse a ticket that another site's page sends: it could be somebody else's."""
        if _origin(request.META.get("HTTP_ORIGIN", "")) != _origin(settings.WAVER_URL):
            raise Refused("The way in is on your page in Waver. Press “Start labelling” there.")


def _origin(url):
    parts = urlsplit(url)
    # On one's own machine both names are in use, for one and the same server.
    name = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    return parts.scheme, name, parts.port
