from django.apps import AppConfig


class RecordingsConfig(AppConfig):
    """Waver's recordings."""

    name = "waver.recordings"
    label = "recordings"
