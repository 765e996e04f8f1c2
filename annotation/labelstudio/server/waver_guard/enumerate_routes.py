"""Label Studio's URL configuration as a flat list, for the probe suite."""

from django.urls import URLPattern, get_resolver


def all_routes():
    """Give every route as `{"route": pattern, "names": [captured names]}`."""
    return [
        {"route": route, "names": sorted(names)}
        for route, names in _walk(get_resolver().url_patterns, "", set())
    ]


def _walk(patterns, prefix, names):
    for entry in patterns:
        route = prefix + str(entry.pattern)
        found = names | set(entry.pattern.regex.groupindex)
        if isinstance(entry, URLPattern):
            yield route, found
        else:
            yield from _walk(entry.url_patterns, route, found)
