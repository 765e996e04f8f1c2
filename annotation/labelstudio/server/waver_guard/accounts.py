"""Accounts in Label Studio: made by Waver, never by signing up."""

from django.db import transaction

from waver_guard.people import email_of

SERVICE_EMAIL = "service@waver.invalid"


@transaction.atomic
def make_rater(*, rater_id, project_id):
    """Give the rater's account, a member of the organisation and of this project.

    The account has no usable password and no token: the only way in is Waver's ticket.
    """
    from organizations.models import Organization
    from projects.models import Project, ProjectMember
    from rest_framework.authtoken.models import Token
    from users.models import User

    organization = Organization.objects.get()
    project = Project.objects.select_for_update().get(pk=project_id, organization=organization)
    user, made = User.objects.get_or_create(
        email=email_of(rater_id), defaults={"username": rater_id[:12]}
    )
    if made:
        user.set_unusable_password()
        user.active_organization = organization
        user.save()
    Token.objects.filter(user=user).delete()
    organization.add_user(user)
    ProjectMember.objects.get_or_create(user=user, project=project)
    return user


@transaction.atomic
def make_service(*, token):
    """Make sure that the service account exists and that its token is exactly this one."""
    from organizations.models import Organization
    from rest_framework.authtoken.models import Token
    from users.models import User

    user, made = User.objects.get_or_create(
        email=SERVICE_EMAIL,
        defaults={"username": "waver", "is_staff": True, "is_superuser": True},
    )
    if made:
        user.set_unusable_password()
        user.save()
    organization = Organization.objects.first()
    if organization is None:
        organization = Organization.create_organization(created_by=user, title="Waver")
    if user.active_organization_id != organization.pk:
        user.active_organization = organization
        user.save(update_fields=["active_organization"])
    if not organization.jwt.legacy_api_tokens_enabled:
        organization.jwt.legacy_api_tokens_enabled = True
        organization.jwt.save()
    if not Token.objects.filter(user=user, key=token).exists():
        Token.objects.filter(user=user).delete()
        Token.objects.create(user=user, key=token)
    return user
