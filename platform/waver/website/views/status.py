"""The administrator's page, and the address by which others see that Waver answers."""

from __future__ import annotations

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from waver.website.access import administrator_page
from waver.website.middleware import is_fragment
from waver.website.queries import status as queries


@administrator_page
def status(request: HttpRequest) -> HttpResponse:
    """Show queues, jobs, storage and models, and look again every few seconds."""
    template = "website/_status.html" if is_fragment(request) else "website/status.html"
    return render(request, template, {"page": queries.status()})


def health(request: HttpRequest) -> HttpResponse:
    """Answer `ok` when the web server and its database do."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")
