"""Gate policies: what a label must reach before it may be released, as a YAML file."""

from __future__ import annotations

import hashlib

from waver.core import audit
from waver.datasets.models import GatePolicy
from waver.datasets.policies.reading import (
    PolicyProblem,
    read,
    schema,
    shipped,
    shipped_names,
    standard_for,
)
from waver.studies.models import Study

__all__ = ["PolicyProblem", "install", "read", "schema", "shipped", "shipped_names", "standard_for"]


def install(*, study: Study, text: str, actor: str = "waver") -> GatePolicy:
    """Store a policy for a study; the same text is stored once.

    Raises PolicyProblem, whose `problems` are sentences with line numbers.
    """
    policy = read(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    row, made = GatePolicy.objects.get_or_create(
        study=study, sha256=sha256, defaults={"text": text}
    )
    if made:
        audit.record(
            actor=actor,
            verb="gate.policy_installed",
            object_kind="study",
            object_id=study.pk,
            detail={"policy": sha256, "title": policy["title"]},
        )
    return row
