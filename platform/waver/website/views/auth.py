"""Signing in and out, and the way home."""

from __future__ import annotations

from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from waver.website.access import person
from waver.website.menu import home_of


class SignIn(auth_views.LoginView):
    """The sign-in page. Django only follows a `next` address of this site."""

    template_name = "website/sign_in.html"
    redirect_authenticated_user = True


class SignOut(auth_views.LogoutView):
    """Sign out, by POST only: a link in a message cannot do it."""

    http_method_names = ["post", "options"]


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Send each person to the page that their role begins with."""
    address = home_of(person(request))
    if address is None:
        return render(request, "website/no_study.html")
    return redirect(address)
