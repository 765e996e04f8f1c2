"""The sign-in forms, of the website and of the administration: both count wrong tries."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from waver.accounts import signing_in

TOO_MANY = "too_many"


class _Counted(AuthenticationForm):
    """Looks at the password only while there were not too many wrong tries."""

    too_many: signing_in.TooMany | None = None

    def clean(self) -> dict[str, Any]:
        """Count the try, let Django look at the password, and forget the try if it was right."""
        username = self.cleaned_data.get("username")
        if not username or self.request is None:
            return super().clean()
        attempt = signing_in.begin(username, self.request)
        if isinstance(attempt, signing_in.TooMany):
            self.too_many = attempt
            raise ValidationError(attempt.sentence, code=TOO_MANY)
        found = super().clean()
        attempt.succeeded()
        return found


class SignInForm(_Counted):
    """The website's."""


class AdminSignInForm(_Counted, AdminAuthenticationForm):
    """The administration's."""
