"""Signing out of Waver ends the stays in Label Studio that began in that session, at once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from annotation.services import stays


@receiver(user_logged_out, dispatch_uid="waver.end-stays")
def end_stays(request: HttpRequest | None, **_: Any) -> None:
    """End them; Django calls this before the session's key is gone."""
    if request is not None:
        stays.end_with_web_session(request.session.session_key)
