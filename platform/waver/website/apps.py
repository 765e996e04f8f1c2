from django.apps import AppConfig


class WebsiteConfig(AppConfig):
    """Waver's website."""

    name = "waver.website"
    label = "website"

    def ready(self) -> None:
        """Listen for sign-outs, which end stays in Label Studio."""
        from waver.website.labelstudio import sign_out as sign_out
