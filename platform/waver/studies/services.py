"""What can be done with a study: create it, renew its approval, add prompts, a design, people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from django.db import IntegrityError, transaction

from waver.accounts.models import User
from waver.core import audit
from waver.core.errors import BadInput, Conflict
from waver.studies.designs import Choices
from waver.studies.models import Membership, Prompt, Study, StudyDesign

_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class PromptText:
    """A prompt as a file gives it: the text per language, and the response that is expected."""

    text: Mapping[str, str]
    expected_response: str = ""
    order: int | None = field(default=None)


@transaction.atomic
def create_study(
    *,
    code: str,
    title: str,
    setting: str,
    actor: str,
    jurisdictions: Sequence[str] = (),
    languages: Sequence[str] = ("en",),
    ethics_approval: str = "",
    ethics_expires_on: date | None = None,
    intended_use: str = "",
    exemption: str = Study.Exemption.NONE,
    exemption_reviewed_by: str = "",
    is_synthetic: bool = False,
) -> Study:
    """Create a study with an empty design.

    Raises BadInput for a code, title, setting or exemption that cannot be, Conflict when the code
    is taken.
    """
    if not _CODE.fullmatch(code):
        raise BadInput(
            f"“{code}” cannot be a study's code. Use 1 to 40 small letters, digits, dashes or "
            "underscores, such as hesitation-2024."
        )
    if not title.strip():
        raise BadInput(f"The study {code} needs a title. Write one.")
    for name, value, choices in (
        ("setting", setting, Study.Setting.values),
        ("exemption", exemption, Study.Exemption.values),
    ):
        if value not in choices:
            raise BadInput(f"“{value}” is no {name} of a study. Use one of: {', '.join(choices)}.")
    if exemption != Study.Exemption.NONE and not exemption_reviewed_by.strip():
        raise BadInput(
            f"The exemption of the study {code} names nobody who reviewed it. Say who did."
        )
    if Study.objects.filter(code=code).exists():
        raise Conflict(f"There is a study {code} already. Choose another code, or work with it.")
    study = Study.objects.create(
        code=code,
        title=title,
        setting=setting,
        jurisdictions=list(jurisdictions),
        languages=list(languages),
        ethics_approval=ethics_approval,
        ethics_expires_on=ethics_expires_on,
        intended_use=intended_use,
        exemption=exemption,
        exemption_reviewed_by=exemption_reviewed_by,
        is_synthetic=is_synthetic,
    )
    StudyDesign.objects.create(study=study)
    audit.record(
        actor=actor,
        verb="study.created",
        object_kind="study",
        object_id=study.pk,
        detail={"code": code, "setting": setting, "exemption": exemption},
    )
    return study


@transaction.atomic
def renew_ethics(*, study: Study, approval: str, expires_on: date | None, actor: str) -> None:
    """Record under which ethics approval the study goes on, and until when (None: no end).

    Raises BadInput without an approval.
    """
    if not approval.strip():
        raise BadInput(f"The study {study.code} needs its ethics approval named. Name it.")
    before = [study.ethics_approval, str(study.ethics_expires_on or "")]
    study.ethics_approval, study.ethics_expires_on = approval, expires_on
    study.save(update_fields=["ethics_approval", "ethics_expires_on"])
    audit.record(
        actor=actor,
        verb="study.ethics_renewed",
        object_kind="study",
        object_id=study.pk,
        detail={"before": before, "after": [approval, str(expires_on or "")]},
    )


@transaction.atomic
def add_prompts(*, study: Study, prompts: Sequence[PromptText], actor: str) -> list[Prompt]:
    """Add prompts after those that are there; an `order` of its own places one.

    Raises BadInput for a prompt without text, Conflict for an order that is taken.
    """
    Study.objects.select_for_update().get(pk=study.pk)
    taken = set(study.prompts.values_list("order", flat=True))
    made = []
    for prompt in prompts:
        if not prompt.text or not all(text.strip() for text in prompt.text.values()):
            raise BadInput("A prompt needs its text in at least one language. Write it.")
        order = prompt.order if prompt.order is not None else max(taken, default=0) + 1
        if order in taken:
            raise Conflict(
                f"The study “{study.title}” already has a prompt {order}. Give another number."
            )
        taken.add(order)
        made.append(
            Prompt(
                study=study,
                order=order,
                text=dict(prompt.text),
                expected_response=prompt.expected_response,
            )
        )
    Prompt.objects.bulk_create(made)
    audit.record(
        actor=actor,
        verb="study.prompts_added",
        object_kind="study",
        object_id=study.pk,
        detail={"orders": [prompt.order for prompt in made]},
    )
    return made


@transaction.atomic
def set_design(*, study: Study, actor: str, **choices: Any) -> StudyDesign:
    """Set how the study is annotated, by the fields of `designs.Choices` and its defaults.

    Batches that were planned before keep theirs. Raises BadInput for what cannot be, such as no
    raters, a share outside 0 to 1, or no passes.
    """
    wanted = Choices(**{**choices, "passes": tuple(choices["passes"])})
    problems = list(wanted.problems())
    if problems:
        raise BadInput(" ".join(sentence for _, sentence in problems))
    stored = {**asdict(wanted), "passes": list(wanted.passes)}
    design, _ = StudyDesign.objects.update_or_create(study=study, defaults=stored)
    audit.record(
        actor=actor,
        verb="study.design_set",
        object_kind="study",
        object_id=study.pk,
        detail=stored,
    )
    return design


def add_member(*, study: Study, user: User, role: str, actor: str) -> Membership:
    """Give a person a role in the study; a role that is there already stays as it is.

    Raises BadInput for an unknown role.
    """
    if role not in Membership.Role.values:
        raise BadInput(f"“{role}” is no role. Use one of: {', '.join(Membership.Role.values)}.")
    try:
        with transaction.atomic():
            member = Membership.objects.create(study=study, user=user, role=role)
            audit.record(
                actor=actor,
                verb="study.member_added",
                object_kind="study",
                object_id=study.pk,
                detail={"user": str(user.pk), "role": role},
            )
    except IntegrityError:
        return Membership.objects.get(study=study, user=user, role=role)
    return member
