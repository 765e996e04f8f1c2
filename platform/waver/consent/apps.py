from django.apps import AppConfig


class ConsentConfig(AppConfig):
    """Waver's consent."""

    name = "waver.consent"
    label = "consent"
