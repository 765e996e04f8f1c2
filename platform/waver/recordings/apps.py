from django.apps import AppConfig


class RecordingsConfig(AppConfig):
    """Waver's recordings."""

    name = "waver.recordings"
    label = "recordings"

    def ready(self) -> None:
        """Register what recordings hold about participants, and declare the jobs."""
        from waver.core import holders
        from waver.recordings import jobs as jobs
        from waver.recordings.holders import RecordingsHolder

        holders.register(RecordingsHolder())
