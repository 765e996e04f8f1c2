from django.apps import AppConfig


class AnnotationConfig(AppConfig):
    """Codebooks, assignments, raters' work and Label Studio."""

    name = "annotation"
    label = "annotation"

    def ready(self) -> None:
        """Register what annotation holds about participants, and its jobs."""
        from annotation import jobs as jobs
        from annotation.holder import AnnotationHolder
        from waver.core import holders

        holders.register(AnnotationHolder())
