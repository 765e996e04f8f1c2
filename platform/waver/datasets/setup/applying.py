"""Set a study up from its file, or bring it up to date: whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import transaction

from annotation.services import codebooks, design
from waver.accounts.models import User
from waver.consent import forms
from waver.consent.models import ConsentDocument
from waver.core.errors import Missing, WaverError
from waver.datasets import policies
from waver.datasets.setup.reading import Document, StudyFile, StudyFileProblem
from waver.recordings.quality import rules
from waver.recordings.quality.catalogue import FIGURES
from waver.studies import services
from waver.studies.designs import choices_of, sentences
from waver.studies.models import Study

# What a study is built on: consent and labels were given under it, so no file changes it later.
_FIXED = (
    "title", "setting", "jurisdictions", "languages", "intended_use",
    "exemption", "exemption_reviewed_by",
)  # fmt: skip
_WRITTEN_AS = {"exemption_reviewed_by": ("exemption", "reviewed_by")}


@dataclass(frozen=True)
class SetUp:
    """What became of a study file.

    `changes` says in sentences what was done, nothing when the study already was as the file says.
    `notes` says what differs from the file and was left alone.
    """

    study: Study
    created: bool
    changes: tuple[str, ...]
    notes: tuple[str, ...]


def set_up(*, file: StudyFile, actor: str) -> SetUp:
    """Create the study that a file describes, or apply what the file has that the study has not.

    A study that is there takes new prompts after its own, new members, a renewed ethics approval,
    newer versions of codebook, policy and consent documents, and another design, as far as no
    batch was planned by what changes. Anything else that differs is refused, and then nothing is
    changed.
    Raises StudyFileProblem with a sentence and the file's line for everything refused.
    """
    with transaction.atomic():
        study = Study.objects.select_for_update().filter(code=file.code).first()
        created = study is None
        if study is None:
            study = services.create_study(**file.study, actor=actor)
        work = _Work(file=file, study=study, actor=actor, created=created)
        work.everything()
        if work.refused:
            raise StudyFileProblem(work.refused)
    return SetUp(study, created, tuple(work.changes), tuple(work.notes))


@dataclass
class _Work:
    """One run over a file: what was done, and what could not be."""

    file: StudyFile
    study: Study
    actor: str
    created: bool
    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)

    def everything(self) -> None:
        """Go through the parts of the file in their order."""
        if not self.created:
            self._fixed()
            self._ethics()
        self._codebook()
        self._policy()
        self._design()
        self._quality()
        self._prompts()
        self._consent()
        self._members()

    def _refuse(self, sentence: str, *where: str | int) -> None:
        self.refused.append((self.file.line(*where), sentence))

    @contextmanager
    def _at(self, *where: str | int) -> Iterator[None]:
        """Turn what a service refuses into a sentence with the file's line."""
        try:
            yield
        except WaverError as error:
            self._refuse(error.sentence, *where)

    def _fixed(self) -> None:
        for name in _FIXED:
            is_now, wanted = getattr(self.study, name), self.file.study[name]
            if is_now != wanted:
                self._refuse(
                    f"'{name}' is {is_now!r} in the study and {wanted!r} in the file. It cannot "
                    "change once the study is there: put it back, or give the file another code "
                    "for another study.",
                    *_WRITTEN_AS.get(name, (name,)),
                )

    def _ethics(self) -> None:
        approval = self.file.study["ethics_approval"]
        expires_on = self.file.study["ethics_expires_on"]
        if (approval, expires_on) == (self.study.ethics_approval, self.study.ethics_expires_on):
            return
        with self._at("ethics"):
            services.renew_ethics(
                study=self.study, approval=approval, expires_on=expires_on, actor=self.actor
            )
            until = f"until {expires_on}" if expires_on else "without an end"
            self.changes.append(f"Ethics approval {approval}, {until}, recorded.")

    def _codebook(self) -> None:
        try:
            before = codebooks.current(self.study)
        except Missing:
            before = None
        if before and before.code != self.file.codebook.id and self.study.batches.exists():
            self._refuse(
                f"Recordings were sent to raters with the codebook {before.code}, so the study "
                f"cannot change to {self.file.codebook.id}. Put it back, or make another study.",
                "codebook",
            )
            return
        with self._at("codebook"):
            row = codebooks.install_codebook(self.study, self.file.codebook_text, self.actor)
            if codebooks.current(self.study) != row:
                self._refuse(
                    f"{row} was replaced by {codebooks.current(self.study)}. A version that was "
                    "replaced is not taken up again; give its content a new number.",
                    "codebook",
                )
            elif row != before:
                self.changes.append(f"Codebook {row} installed.")

    def _policy(self) -> None:
        before = self.study.gate_policies.order_by("created_at").last()
        with self._at("policy"):
            row = policies.install(study=self.study, text=self.file.policy_text, actor=self.actor)
            if row == before:
                return
            if row != self.study.gate_policies.latest("created_at"):
                self._refuse(
                    "This gate policy was replaced by a newer one and is not taken up again. Put "
                    "the newer one here.",
                    "policy",
                )
            else:
                self.changes.append(f"Gate policy “{policies.read(row.text)['title']}” installed.")

    def _design(self) -> None:
        wanted, is_now = self.file.design, getattr(self.study, "design", None)
        if not self.created and is_now is not None and choices_of(is_now) == wanted:
            return
        with self._at("design"):
            design.change(study=self.study, wanted=wanted, actor=self.actor)
            self.changes.append(f"Design set. {' '.join(sentences(wanted))}")

    def _quality(self) -> None:
        wanted, is_now = self.file.quality, rules.newest(self.study.pk)
        if wanted is None or not (wanted or is_now):
            return
        with self._at("quality"):
            made = rules.set_rules(study=self.study, limits=wanted, actor=self.actor)
            if made != is_now:
                asked = [
                    f"{figure.title.lower()} {figure.write_limit(bound, number)}"
                    for key, figure in FIGURES.items()
                    for bound, number in made.limits.get(key, {}).items()
                ]
                self.changes.append(f"Quality thresholds set: {', '.join(asked) or 'none'}.")

    def _prompts(self) -> None:
        there = {prompt.order: prompt for prompt in self.study.prompts.all()}
        new = [prompt for prompt in self.file.prompts if prompt.order not in there]
        for order, prompt in there.items():
            given = next((p for p in self.file.prompts if p.order == order), None)
            if given is None:
                self._refuse(
                    f"The study has a prompt {order} that the file lacks. Participants may have "
                    "answered it, so it stays: put it back.",
                    "prompts",
                )
            elif (prompt.text, prompt.expected_response) != (given.text, given.expected_response):
                self._refuse(
                    f"Prompt {order} differs from the study's. Participants may have answered it "
                    "as it was: put it back, and add a new prompt at the end.",
                    "prompts",
                    order - 1,
                )
        if new:
            with self._at("prompts"):
                services.add_prompts(study=self.study, prompts=new, actor=self.actor)
                numbers = ", ".join(str(prompt.order) for prompt in new)
                self.changes.append(f"Prompts added: {numbers}.")

    def _consent(self) -> None:
        for document in self.file.documents:
            self._document(document)
        given = {document.text.language for document in self.file.documents}
        known = set(self.study.consent_documents.values_list("language", flat=True))
        for language in sorted(known - given):
            self._refuse(
                f"The study has a consent document in {language!r} that the file lacks. It stays: "
                "put it back.",
                "consent",
            )

    def _document(self, given: Document) -> None:
        language = given.text.language
        newest = (
            ConsentDocument.objects.filter(study=self.study, language=language)
            .order_by("version")
            .last()
        )
        where = ("consent", language)
        if newest is not None and newest.sha256 == given.text.sha256:
            facts = (newest.approved_by, newest.effective_from)
            if facts != (given.approved_by, given.effective_from):
                self._refuse(
                    f"“{newest}” was approved by {newest.approved_by} and is in force from "
                    f"{newest.effective_from.isoformat()}. That cannot change once it is "
                    "published: put it back, or give a changed document for the next version.",
                    *where,
                )
            return
        if newest is not None and given.effective_from <= newest.effective_from:
            self._refuse(
                f"The document was changed, and version {newest.version} is in force from "
                f"{newest.effective_from.isoformat()}. Give a later time from which the changed "
                "one is used, so that each signed form belongs to one version.",
                *where,
                "effective_from",
            )
            return
        with self._at(*where, "document"):
            published = forms.publish(
                study=self.study,
                text=given.text,
                approved_by=given.approved_by,
                effective_from=given.effective_from,
            )
            self.changes.append(
                f"Consent document “{published}” published, in force from "
                f"{published.effective_from:%Y-%m-%d %H:%M %Z}."
            )

    def _members(self) -> None:
        there = set(self.study.memberships.values_list("user__username", "role"))
        users = User.objects.in_bulk(
            {member.username for member in self.file.members}, field_name="username"
        )
        for member in self.file.members:
            user = users.get(member.username)
            if (member.username, member.role) in there:
                continue
            if user is None or not user.is_active:
                what = "has no account" if user is None else "has an account that was closed"
                self._refuse(
                    f"{member.username!r} {what}. An administrator makes or opens it under "
                    "/admin/; then run this again.",
                    "members",
                    member.username,
                )
                continue
            services.add_member(study=self.study, user=user, role=member.role, actor=self.actor)
            self.changes.append(f"{member.username} is {_called(member.role)} now.")
        for username, role in sorted(there - {(m.username, m.role) for m in self.file.members}):
            self.notes.append(f"{username} is {_called(role)}, though the file does not say so.")


def _called(role: str) -> str:
    return f"{'an' if role == 'annotator' else 'a'} {role.replace('_', ' ')}"
