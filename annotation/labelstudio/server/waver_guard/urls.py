"""Label Studio's own addresses, and the few that are the guard's."""

from core.urls import urlpatterns as label_studio_urls
from django.urls import path

from waver_guard import views

urlpatterns = [
    path("waver/enter", views.enter, name="waver-enter"),
    path("waver/media/<str:token>", views.media, name="waver-media"),
    path("waver/admin/raters", views.raters, name="waver-raters"),
    path("waver/admin/routes", views.routes, name="waver-routes"),
    *label_studio_urls,
]
