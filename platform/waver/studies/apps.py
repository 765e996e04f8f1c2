from django.apps import AppConfig


class StudiesConfig(AppConfig):
    """Waver's studies."""

    name = "waver.studies"
    label = "studies"
