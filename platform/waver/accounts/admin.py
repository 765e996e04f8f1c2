"""People in Django's admin: administrators add them, set passwords and end accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.utils.translation import gettext_lazy as _

from waver.accounts.models import User

if TYPE_CHECKING:
    _Base = UserAdmin[User]
else:
    _Base = UserAdmin


@admin.register(User)
class PersonAdmin(_Base):
    """Django's page for users, with the mark of a scripted rater, which nobody sets by hand."""

    list_display = ("username", "email", "is_active", "is_staff", "is_synthetic", "last_login")
    list_filter = ("is_active", "is_staff", "is_synthetic")
    readonly_fields = ("is_synthetic",)
    fieldsets = (*(UserAdmin.fieldsets or ()), (_("Waver"), {"fields": ("is_synthetic",)}))

    def has_delete_permission(self, request: object, obj: User | None = None) -> bool:
        """Refuse: a person's labels name them. An account that ends is made inactive."""
        return False
