from django.apps import AppConfig


class WebsiteConfig(AppConfig):
    """Waver's website."""

    name = "waver.website"
    label = "website"
