"""Label Studio's own addresses, and the few that are the guard's."""

from core.urls import urlpatterns as label_studio_urls
from django.urls import path

from waver_guard import service, views

urlpatterns = [
    path("waver/enter", views.enter, name="waver-enter"),
    path("waver/labelling.js", views.labelling_script, name="waver-labelling-script"),
    path("waver/media/<str:token>", views.media, name="waver-media"),
    path("waver/admin/raters", service.raters, name="waver-raters"),
    path("waver/admin/routes", service.routes, name="waver-routes"),
    path("waver/admin/work", service.work, name="waver-work"),
    path("waver/admin/forget", service.forget, name="waver-forget"),
    path("waver/admin/traces", service.traces, name="waver-traces"),
    path("waver/admin/inventory", service.inventory, name="waver-inventory"),
    *label_studio_urls,
]
