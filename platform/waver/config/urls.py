"""Every address: the admin and the website."""

from django.contrib import admin
from django.urls import include, path

from waver.website.sign_in import AdminSignInForm

admin.site.login_form = AdminSignInForm

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("waver.website.urls")),
]
