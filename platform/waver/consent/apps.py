from django.apps import AppConfig


class ConsentConfig(AppConfig):
    """Waver's consent."""

    name = "waver.consent"
    label = "consent"

    def ready(self) -> None:
        """Register what consent holds about participants."""
        from waver.consent.holders import ConsentHolder
        from waver.core import holders

        holders.register(ConsentHolder())
