"""How the guard says no: always with a sentence."""

from html import escape

from django.conf import settings
from django.http import HttpResponse, JsonResponse


class Refused(Exception):
    """The request is not allowed. The message is a sentence for the rater."""

    def __init__(self, sentence, *, status=403):
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


def answer(request, refusal):
    """Give the refusal as JSON to the labelling interface and as a small page to a person."""
    wants_page = "text/html" in request.META.get("HTTP_ACCEPT", "")
    if wants_page and not request.path.startswith("/api/"):
        response = HttpResponse(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Waver</title>'
            '<body style="font: 16px/1.5 system-ui; max-width: 40rem; margin: 4rem auto">'
            f"<p>{escape(refusal.sentence)}</p>"
            f'<p><a href="{escape(settings.WAVER_URL)}/">Go to Waver</a></p></body></html>',
            status=refusal.status,
        )
    else:
        response = JsonResponse({"detail": refusal.sentence}, status=refusal.status)
    response["Cache-Control"] = "no-store"
    return response
