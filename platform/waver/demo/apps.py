from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Waver's demo."""

    name = "waver.demo"
    label = "demo"
