"""A study's design is changed: at any time what cares for raters, before any batch what draws."""

from __future__ import annotations

from dataclasses import asdict

from django.db import transaction

from annotation.services import codebooks
from waver.core.errors import BadInput, Conflict, Missing
from waver.studies import services
from waver.studies.designs import STRUCTURE, Choices, choices_of
from waver.studies.models import Study, StudyDesign


@transaction.atomic
def change(*, study: Study, wanted: Choices, actor: str) -> StudyDesign:
    """Set the study's design and give it.

    Raises BadInput for what cannot be, also a pass that the codebook lacks, and Conflict where
    recordings were assigned already and what they were drawn by would change.
    """
    Study.objects.select_for_update().get(pk=study.pk)
    try:
        known = [part.id for part in codebooks.parsed(codebooks.current(study)).passes]
    except Missing:
        known = list(wanted.passes)  # checked again when there is a codebook to plan by
    strange = [name for name in wanted.passes if name not in known]
    if strange:
        raise BadInput(f"The codebook has no pass {strange[0]!r}; it has {', '.join(known)}.")
    is_now = StudyDesign.objects.filter(study=study).first()
    if is_now is not None and study.batches.exists():
        before = choices_of(is_now)
        changed = [name for name in STRUCTURE if getattr(before, name) != getattr(wanted, name)]
        if changed:
            raise Conflict(
                "Recordings were sent to raters under the study's design, and "
                f"{', '.join(name.replace('_', ' ') for name in changed)} would change it. A "
                "design cannot change halfway: put that back, or make another study."
            )
    return services.set_design(study=study, actor=actor, **asdict(wanted))
