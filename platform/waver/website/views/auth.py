"""Signing in and out, and the way home."""

from __future__ import annotations

from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from waver.website.access import person
from waver.website.menu import home_of
from waver.website.sign_in import SignInForm


class SignIn(auth_views.LoginView):
    """The sign-in page. Django only follows a `next` address of this site."""

    template_name = "website/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the page again; after too many wrong tries with the time from when on to try."""
        answer = super().form_invalid(form)
        too_many = getattr(form, "too_many", None)
        if too_many is not None:
            answer.status_code = 429
            answer["Retry-After"] = str(60 * too_many.minutes)
        return answer


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
