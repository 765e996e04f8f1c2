"""All figures about a rater, put together: for the study's lead, and for the rater.

Computed from stored rows when a page asks, and never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from annotation.agreement.results import Undefined
from annotation.services.care import controls, copies, others
from annotation.services.care.course import Course, with_gold, with_others
from annotation.services.care.disclosure import at_least, coarse, portions, told_until
from annotation.services.care.figure import Figure
from annotation.services.care.material import Material, gather
from annotation.services.care.pace import pace, pace_figures
from annotation.services.care.prelabelled import prelabel_figures
from waver.accounts.models import User
from waver.studies.models import Study

MOST_LABELS = 12
"""Labels whose figures a page lists; a codebook of forty action units would bury the rest."""


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that belong together, under a heading, with a sentence on how to read them."""

    title: str
    means: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """How long the recordings of one pass were open, in seconds, ascending."""

    title: str
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RaterFigures:
    """Everything that a page says about one rater.

    `submitted`  recordings handed in, controls and training included.
    `until`      for a rater's own page: work after this moment is not in what depends on others
                 and on controls; None where nothing can be told yet, and for leads.
    """

    submitted: int
    sections: tuple[Section, ...]
    courses: tuple[Course, ...]
    times: tuple[Times, ...]
    codebook: str
    until: datetime | None = None
    is_cut: bool = False

    @property
    def attention(self) -> list[Figure]:
        """Give the figures that ask for a look."""
        return [each for part in self.sections for each in part.figures if each.attention]

    def figure(self, key: str) -> Figure | None:
        """Give a figure by its key."""
        return next(
            (each for part in self.sections for each in part.figures if each.key == key), None
        )


def for_lead(study: Study, rater: User, *, material: Material | None = None) -> RaterFigures | None:
    """Give every figure about a rater; None while the study has no accepted work.

    `material` spares reading the rows again for each of several raters.
    """
    found = material or gather(study)
    if found is None:
        return None
    scored = controls.scored(found, rater.pk)
    passes = _passes(found, rater.pk)
    courses = (with_gold(scored), *(with_others(found, rater.pk, name) for name in passes))
    copied = copies.copies(found, rater.pk)
    partner = User.objects.filter(pk=copied.most_with).first() if copied.most_with else None
    sections = [
        _known(controls.gold_figures(found, scored)),
        _twice(controls.repeat_figures(found, controls.pairs(found, rater.pk))),
        Section(
            "With the other raters",
            "Real work without pre-labels and without controls, as the gate looks at it.",
            (
                *_of_labels(found, rater.pk, passes, alone=False),
                copies.copy_figure(copied, partner.get_username() if partner else ""),
            ),
        ),
        Section(
            "Over time",
            "Agreement item by item, in the order of submission.",
            tuple(course.figure for course in courses),
        ),
        _pace(found, rater.pk, passes),
        _prelabels(found, rater.pk),
    ]
    return _put_together(found, rater.pk, sections, courses, passes)


def for_rater(study: Study, rater: User, *, now: datetime) -> RaterFigures | None:
    """Give a rater their own figures; None while the study has no accepted work.

    What depends only on what they did is of this moment. What depends on controls and on the
    others moves in portions (`care.disclosure`), is an aggregate and names nobody.
    """
    found = gather(study, recordings_of=rater.pk)
    if found is None:
        return None
    own = found.of(rater.pk)
    ends = portions([each.at for each in own], now=now)
    until = ends[-1] if ends else None
    passes = _passes(found, rater.pk)
    sections = [_pace(found, rater.pk, passes), _prelabels(found, rater.pk)]
    if until is not None:
        past = found.before(until)
        beside = _of_labels(past, rater.pk, _passes(past, rater.pk), alone=True)
        sections = [
            Section(
                "With the other raters",
                "Other raters are neither right nor wrong; a difference is a reason to talk about "
                "examples.",
                beside,
            ),
            *_told_controls(found, rater.pk, ends),
            *sections,
        ]
    quiet = [
        replace(part, figures=tuple(replace(each, attention="") for each in part.figures))
        for part in sections
    ]
    return replace(_put_together(found, rater.pk, quiet, (), passes), until=until)


def _told_controls(found: Material, rater: UUID, ends: Sequence[datetime]) -> list[Section]:
    """Give the controls of whole portions: rounded, without intervals, their number in steps."""
    sections = []
    scored = controls.scored(found, rater)
    told = told_until([item.submission.at for item in scored], ends)
    if told is not None:
        items = [item for item in scored if item.submission.at < told]
        sections.append(_known(_rounded(controls.gold_figures(found, items))))
    pairs = controls.pairs(found, rater)
    told = told_until([pair.again.at for pair in pairs], ends)
    if told is not None:
        past = [pair for pair in pairs if pair.again.at < told]
        sections.append(_twice(_rounded(controls.repeat_figures(found, past))))
    return sections


def _rounded(figures: Sequence[Figure]) -> list[Figure]:
    """Make figures coarse. A repeat's median gap would say too much, so the meaning is general."""
    return [
        replace(
            each,
            value=coarse(each.value) if each.n >= controls.FEWEST_REPEATS else _few(),
            n=at_least(each.n),
            of=f"{each.of}, or a few more",
            low=None,
            high=None,
            means="Rounded, and renewed after larger portions of your work."
            if each.n >= controls.FEWEST_REPEATS and not each.is_undefined
            else each.means
            if each.n >= controls.FEWEST_REPEATS
            else "There are too few of them to say anything yet.",
        )
        for each in figures
    ]


def _few() -> Undefined:
    return Undefined("too_few_units")


def _known(figures: Sequence[Figure]) -> Section:
    return Section(
        "Known answers",
        "Blind control items. The answer that was accepted first counts.",
        tuple(figures),
    )


def _twice(figures: Sequence[Figure]) -> Section:
    return Section(
        "The same recording twice",
        "Recordings labelled a second time, blind. An α of 0.8 or more is steady; a lower one "
        "often means that the codebook is unclear.",
        tuple(figures),
    )


def _pace(found: Material, rater: UUID, passes: Sequence[str]) -> Section:
    return Section(
        "Time on task",
        "By Label Studio's clock, which also runs while nobody looks.",
        tuple(pace_figures(found, rater, passes)),
    )


def _prelabels(found: Material, rater: UUID) -> Section:
    return Section(
        "Pre-labels",
        "Only in recordings that were sent with suggestions of a computer.",
        tuple(prelabel_figures(found.of(rater))),
    )


def _of_labels(
    found: Material, rater: UUID, passes: Sequence[str], *, alone: bool
) -> tuple[Figure, ...]:
    """Give the figures beside the others, label by label; `alone` leaves out what is for leads."""
    figures: list[Figure] = []
    labels = [each for each in found.measurables() if each.pass_id in passes][:MOST_LABELS]
    for each in labels:
        agreement = others.agreement_figures(found, each, rater)
        figures += agreement[:1] if alone else agreement
        figures += others.usage_figures(found, each, rater)
        figures += others.boundary_figures(found, each, rater)
    return tuple(figures)


def _passes(found: Material, rater: UUID) -> list[str]:
    """Give the passes in which the rater handed in something, in the codebook's order."""
    used = {each.pass_id for each in found.of(rater)}
    return [part.id for part in found.codebook.passes if part.id in used]


def _put_together(
    found: Material,
    rater: UUID,
    sections: Sequence[Section],
    courses: Sequence[Course],
    passes: Sequence[str],
) -> RaterFigures:
    times = [
        Times(found.codebook.pass_(name).title, pace(found, rater, name).seconds) for name in passes
    ]
    return RaterFigures(
        submitted=len(found.of(rater)),
        sections=tuple(part for part in sections if part.figures),
        courses=tuple(courses),
        times=tuple(each for each in times if each.seconds),
        codebook=str(found.version),
        is_cut=found.is_cut,
    )
