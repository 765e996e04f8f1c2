"""People who sign in, and the row by which Label Studio's guard knows a rater."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

from waver.core.ids import new_id
from waver.core.models import Row


class User(AbstractUser):
    """Somebody who signs in to Waver. `is_synthetic` marks a scripted rater, wherever it shows."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    is_synthetic = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(is_synthetic=True, is_superuser=True),
                name="user_synthetic_is_no_administrator",
            )
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save. A new password ends the stays in Label Studio, as Django ends the web sessions."""
        # Django keeps a new password here until it is saved; its type stubs do not know that.
        changed = getattr(self, "_password", None) is not None and not self._state.adding
        super().save(*args, **kwargs)
        if changed:
            self.label_studio_sessions.filter(ended_at__isnull=True).update(ended_at=timezone.now())


class LabelStudioSession(Row):
    """A rater's stay in Label Studio, checked by the guard at every request.

    Begins with a one-time ticket (stored as its SHA-256, short-lived), continues with a key that
    only the guard holds (stored as its SHA-256), and ends at once when `ended_at` is set.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="label_studio_sessions")
    remote_project_id = models.PositiveBigIntegerField()
    # The Waver web session it belongs to (SHA-256 of its key): signing out ends both.
    web_session_hash = models.CharField(max_length=64)
    ticket_hash = models.CharField(max_length=64, unique=True)
    ticket_expires_at = models.DateTimeField()
    redeemed_at = models.DateTimeField(null=True, blank=True)
    key_hash = models.CharField(max_length=64, blank=True, db_index=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)


class SignInAttempt(Row):
    """A try to sign in that was wrong, or whose password is being looked at. Kept for a day.

    Name and address as keyed hashes, to count by.
    """

    name = models.CharField(max_length=64)
    address = models.CharField(max_length=64)

    class Meta:
        indexes = [
            models.Index(fields=["name", "created_at"], name="attempt_name"),
            models.Index(fields=["address", "created_at"], name="attempt_address"),
            models.Index(fields=["created_at"], name="attempt_created"),
        ]
