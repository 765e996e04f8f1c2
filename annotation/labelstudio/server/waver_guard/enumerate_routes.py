"""Label Studio's URL configuration as a flat list, for the probe suite."""

from django.urls import URLPattern, get_resolver


def all_routes():
    """Give every route as `{"route": pattern, "names": [captured names]}`.

    Routes are written as `ResolverMatch.route` writes them, which is what the rules are keyed by.
    """
    return [
        {"route": route, "names": sorted(names)}
        for route, names in _walk(get_resolver().url_patterns, "", set())
    ]


def _walk(patterns, prefix, names):
    for entry in patterns:
        own = str(entry.pattern)
        route = prefix + own.removeprefix("^") if prefix else own
        found = names | set(entry.pattern.regex.groupindex)
        if isinstance(entry, URLPattern):
            yield route, found
        else:
            yield from _walk(entry.url_patterns, route, found)
