"""The audit chain in Django's admin: to be looked at, never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from waver.core.models import AuditEntry

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Any]
else:
    _Base = admin.ModelAdmin


class ReadOnly(_Base):
    """Lists and shows rows; there is nothing to add, change or delete, also for administrators."""

    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Refuse; Django then shows every field as text."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Refuse."""
        return False


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly):
    """What happened, newest first."""

    list_display = ("at", "actor", "verb", "object_kind", "object_id")
    list_filter = ("verb", "object_kind")
    search_fields = ("actor", "object_id")
    ordering = ("-seq",)
