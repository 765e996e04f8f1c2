from django.apps import AppConfig


class StackConfig(AppConfig):
    """Waver's stack."""

    name = "waver.stack"
    label = "stack"
