from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Waver's datasets."""

    name = "waver.datasets"
    label = "datasets"
