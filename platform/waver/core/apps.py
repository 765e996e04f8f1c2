from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Waver's core."""

    name = "waver.core"
    label = "core"
