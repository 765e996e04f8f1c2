from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Waver's accounts."""

    name = "waver.accounts"
    label = "accounts"
