"""What a rater may reach: each route and method with the check that its ids must pass.

Routes are written as Django reports them for Label Studio's own URL configuration, so a new
version's new routes are refused until somebody adds them here.
"""

from waver_guard import checks
from waver_guard.refusals import Refused

_PUBLIC_FILES = frozenset(
    {
        r"^favicon\.ico$",
        r"^label-studio-frontend/(?P<path>.*)$",
        r"^dm/(?P<path>.*)$",
        r"^react-app/(?P<path>.*)$",
        r"^static/fonts/roboto/roboto.css$",
        r"^static/(?P<path>.*)$",
    }
)
_OPEN = frozenset({"waver/enter", "waver/labelling.js", "health/"})

RULES = {
    # Waver's own.
    "waver/media/<str:token>": {"GET": checks.nothing_more},
    # The pages of the labelling interface.
    "^projects/<int:pk>/": {"GET": checks.own_project},
    "^projects/<int:pk>/data/": {"GET": checks.own_project},
    "^logout/?$": {"GET": checks.end_of_stay},
    # The rater's own account, as far as the interface needs it.
    "^api/current-user/whoami": {"GET": checks.nothing_more},
    "^api/current-user/hotkeys/": {"GET": checks.nothing_more, "PATCH": checks.own_hotkeys},
    "^api/current-user/product-tour": {"GET": checks.own_tour, "PATCH": checks.own_tour},
    "version/": {"GET": checks.exactly_version},
    # Asked for by the interface, and answered by the guard: no people, models or label links.
    "^api/users/$": {"GET": checks.empty_list},
    "^api/ml/": {"GET": checks.empty_list},
    "^api/label_links/$": {"GET": checks.empty_page},
    # The project and its stream of tasks.
    "^api/projects/": {"GET": checks.empty_page},
    "^api/projects/<int:pk>/": {"GET": checks.own_project},
    "^api/projects/<int:pk>/next/": {"GET": checks.next_of_project},
    "^api/projects/<int:pk>/label-stream-history/": {"GET": checks.own_project},
    "^api/dm/project/": {"GET": checks.names_own_project},
    "^api/dm/columns/": {"GET": checks.names_own_project},
    "^api/dm/actions/": {"GET": checks.names_own_project, "POST": checks.next_task},
    "^api/dm/views/$": {"GET": checks.names_own_project, "POST": checks.new_view},
    "^api/dm/views/(?P<pk>[^/.]+)/$": {"GET": checks.own_view, "PATCH": checks.own_view},
    "^api/tasks/": {"GET": checks.names_own_project},
    # One task, its annotations and drafts.
    "^api/tasks/<int:pk>/": {"GET": checks.own_task},
    "^api/tasks/<int:pk>/annotations/": {"GET": checks.own_task, "POST": checks.new_annotation},
    "^api/tasks/<int:pk>/drafts": {"GET": checks.own_task, "POST": checks.draft_of_task},
    "^api/tasks/<int:pk>/annotations/<int:annotation_id>/drafts": {
        "GET": checks.draft_of_annotation,
        "POST": checks.draft_of_annotation,
    },
    "^api/annotations/<int:pk>/": {
        "GET": checks.own_annotation,
        "PATCH": checks.changed_annotation,
        "DELETE": checks.own_annotation,
    },
    "^api/drafts/<int:pk>/": {
        "GET": checks.own_draft,
        "PATCH": checks.changed_draft,
        "DELETE": checks.own_draft,
    },
}


def is_public_file(request):
    """Tell whether the request is for a static file of the interface."""
    match = request.resolver_match
    return match is not None and match.route in _PUBLIC_FILES


def is_open(request):
    """Tell whether anybody may ask this: files, health, and what the way in says to who looks."""
    if request.method not in ("GET", "HEAD"):
        return False
    return is_public_file(request) or request.resolver_match.route in _OPEN


def is_way_in(request):
    """Tell whether the request brings a ticket: it is judged by its origin, and by Waver."""
    return request.method == "POST" and request.resolver_match.route == "waver/enter"


def rule_for(request):
    """Give the check that a rater's ids must pass here.

    Raises Refused for every route and method that is not listed.
    """
    methods = RULES.get(request.resolver_match.route, {})
    rule = methods.get("GET" if request.method == "HEAD" else request.method)
    if rule is None:
        raise Refused("This part of Label Studio is switched off for raters.")
    return rule
