from django.apps import AppConfig


class AnnotationConfig(AppConfig):
    """Codebooks, assignments, raters' work and Label Studio."""

    name = "annotation"
    label = "annotation"

    def ready(self) -> None:
        """Register what annotation holds about participants, what it uses, and its jobs."""
        from annotation import jobs as jobs
        from annotation.holder import AnnotationHolder
        from annotation.services.assignment import given
        from waver.core import holders
        from waver.recordings import uses

        holders.register(AnnotationHolder())
        uses.register("annotation", given.given_to_raters)
