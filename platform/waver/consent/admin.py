"""Consent evidence in Django's admin: to be looked at, never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from waver.consent.models import (
    ConsentAnswer,
    ConsentDocument,
    ConsentEvent,
    ConsentItem,
    ConsentRecord,
    ConsentState,
    Participant,
    Restriction,
)
from waver.core.admin import ReadOnly

if TYPE_CHECKING:
    _Inline = admin.TabularInline[Any, Any]
else:
    _Inline = admin.TabularInline


class ReadOnlyInline(_Inline):
    """Shows the rows that belong to another; nothing can be added, changed or deleted."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Refuse."""
        return False


class ItemInline(ReadOnlyInline):
    """What a document asks."""

    model = ConsentItem
    fields = ("order", "code", "text", "purpose", "required")


class AnswerInline(ReadOnlyInline):
    """What was answered."""

    model = ConsentAnswer
    fields = ("item", "value")


class EventInline(ReadOnlyInline):
    """What happened to a participant's consent."""

    model = ConsentEvent
    fields = ("sequence", "type", "purpose", "effective_at", "actor", "hash")
    ordering = ("sequence",)


class StateInline(ReadOnlyInline):
    """What follows from the events."""

    model = ConsentState
    fields = ("purpose", "allowed", "given_at", "ended_at")


class RestrictionInline(ReadOnlyInline):
    """Stretches that must not be used."""

    model = Restriction
    fields = ("recording_id", "start_us", "end_us", "reason", "made_by")


@admin.register(Participant)
class ParticipantAdmin(ReadOnly):
    """A participant with the whole chain of their consent."""

    list_display = ("code", "study", "state", "is_synthetic", "created_at")
    list_filter = ("study", "state")
    search_fields = ("code",)
    inlines = (StateInline, EventInline, RestrictionInline)


@admin.register(ConsentDocument)
class ConsentDocumentAdmin(ReadOnly):
    """A version of a consent document with its items."""

    list_display = ("title", "study", "version", "language", "effective_from", "approved_by")
    list_filter = ("study", "language")
    inlines = (ItemInline,)


@admin.register(ConsentRecord)
class ConsentRecordAdmin(ReadOnly):
    """One participant's answers to one document."""

    list_display = ("participant", "document", "channel", "given_at", "entered_by")
    list_filter = ("document__study", "channel")
    search_fields = ("participant__code",)
    inlines = (AnswerInline,)


@admin.register(ConsentEvent)
class ConsentEventAdmin(ReadOnly):
    """One event of one participant's chain."""

    list_display = ("participant", "sequence", "type", "purpose", "effective_at", "actor")
    list_filter = ("participant__study", "type", "purpose")
    search_fields = ("participant__code",)
