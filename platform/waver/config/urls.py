"""Every address: the admin and the website."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("waver.website.urls")),
]
