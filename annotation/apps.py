from django.apps import AppConfig


class AnnotationConfig(AppConfig):
    """Codebooks, assignments, raters' work and Label Studio."""

    name = "annotation"
    label = "annotation"
