"""Addresses of the hand-over to Label Studio, and of what its guard asks."""

from django.urls import URLPattern, URLResolver, path

from waver.website.labelstudio import handover, internal

INTERNAL = "internal/label-studio/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("label/start/<uuid:batch_id>/", handover.start, name="label-start"),
    path(f"{INTERNAL}redeem", internal.redeem, name="guard-redeem"),
    path(f"{INTERNAL}session", internal.session, name="guard-session"),
    path(f"{INTERNAL}end", internal.end, name="guard-end"),
    path(f"{INTERNAL}media/<str:token>", internal.media, name="guard-media"),
    path(f"{INTERNAL}webhook", internal.webhook, name="label-studio-webhook"),
]
