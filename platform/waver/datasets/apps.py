from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Waver's datasets."""

    name = "waver.datasets"
    label = "datasets"

    def ready(self) -> None:
        """Declare the jobs, and register what this app holds about participants."""
        from waver.core import holders
        from waver.datasets import jobs as jobs
        from waver.datasets.holders import DatasetsHolder

        holders.register(DatasetsHolder())
