"""What changed between two versions of a codebook, and whether raters' work would be orphaned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from annotation.codebooks.migration import Fate, Migration, PassChange, Target
from annotation.codebooks.model import PAIR, Codebook, Pass, Question, Rule

_FATES: Mapping[str, Fate] = {
    "rename": "renamed", "merge": "merged", "split": "split", "drop": "dropped",
}  # fmt: skip
_SAME_ANSWERS = ("exclusive", "ordinal")


class MigrationError(ValueError):
    """The codebook's author must say more, or something else, under `migration`.

    `problems` holds the sentences one by one.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something that the old version asks, the new one does not, and the migration passes over.

    Exactly one of: a pass (no more named), a segment label, a question, an answer to a question.
    """

    pass_id: str
    label: str = ""
    question: str = ""
    value: str = ""
    why: str = ""

    def __str__(self) -> str:
        if self.label:
            return f"the segment label {self.label!r} of the pass {self.pass_id!r}"
        if self.value:
            return f"the answer {self.value!r} to {self.question!r} in the pass {self.pass_id!r}"
        what = f"the question {self.question!r} of " if self.question else ""
        why = f" ({self.why})" if self.why else ""
        return f"{what}the pass {self.pass_id!r}{why}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions side by side: the way from one to the other, and what stands in it.

    `changes` are sentences for people, `problems` sentences about a wrong migration block.
    `migration` carries work over only when there is neither a problem nor an orphan.
    """

    migration: Migration
    orphans: tuple[Orphan, ...]
    problems: tuple[str, ...]
    changes: tuple[str, ...]


def compare(old: Codebook, new: Codebook) -> Comparison:
    """Compare two versions of one codebook, using the new one's migration block.

    A block written for another version than `old` is a problem, unless nothing needs it.
    """
    reading = _Reading(old, new)
    reading.read()
    return Comparison(
        Migration(new.id, old.version, new.version, reading.passes),
        tuple(reading.orphans),
        tuple(reading.problems),
        tuple(_changes(old, new, reading)),
    )


def migration_between(old: Codebook, new: Codebook) -> Migration:
    """Give the checked way from one version to the next.

    Raises MigrationError naming every orphan and every problem.
    """
    found = compare(old, new)
    problems = [
        *found.problems,
        *(f"Nothing under 'migration' says what becomes of {orphan}." for orphan in found.orphans),
    ]
    if problems:
        raise MigrationError(problems)
    return found.migration


@dataclass(slots=True)
class _Reading:
    """Reads a migration block against both versions."""

    old: Codebook
    new: Codebook
    passes: dict[str, PassChange] = field(default_factory=dict)
    orphans: list[Orphan] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    def read(self) -> None:
        rules = self.new.migration
        if rules and self.new.migrates_from != self.old.version:
            self.problems.append(
                f"The migration is written for version {self.new.migrates_from}, but version "
                f"{self.old.version} is installed. Write it for that one."
            )
        for part in self.old.passes:
            self.passes[part.id] = self._pass(part)
        for index, rule in enumerate(rules):
            if index not in self.used:
                self.problems.append(
                    f"The migration names {_named(rule)}, which version {self.old.version} does "
                    "not have. Correct or remove that line."
                )

    def _rule(self, pass_id: str, question: str, old: str) -> Rule | None:
        """Find the one rule about something; a second one is a problem."""
        found: Rule | None = None
        for index, rule in enumerate(self.new.migration):
            about = old in rule.olds if old else not rule.olds
            if rule.pass_id != pass_id or rule.question != question or not about:
                continue
            self.used.add(index)
            if found is not None:
                self.problems.append(f"The migration decides twice on {_named(rule)}; keep one.")
            found = rule
        return found

    def _pass(self, part: Pass) -> PassChange:
        rule = self._rule(part.id, "", "")
        if rule is not None and rule.kind == "drop":
            return PassChange("", rule.reason)
        if rule is not None and rule.kind != "rename":
            self.problems.append(f"The pass {part.id!r} can only be renamed or dropped.")
        name = rule.to if rule is not None else part.id
        there = next((each for each in self.new.passes if each.id == name), None)
        if there is None:
            if rule is not None:
                self.problems.append(
                    f"The migration leads to the pass {name!r}, which version {self.new.version} "
                    "does not have."
                )
            self.orphans.append(Orphan(part.id))
            return PassChange("")
        if there.unit != part.unit:
            self.orphans.append(Orphan(part.id, why=f"its unit was {part.unit}"))
            return PassChange("")
        return self._change(part, there)

    def _change(self, part: Pass, there: Pass) -> PassChange:
        labels = self._targets(part.id, "", part.label_ids, {"": there.label_ids})
        questions: dict[str, Target] = {}
        answers: dict[tuple[str, str], Target] = {}
        known = {question.id: question.value_names for question in there.questions}
        for question in part.questions:
            target = self._question(part, question, there)
            questions[question.id] = target
            if not target.to:
                continue
            found = self._targets(
                part.id, question.id, question.value_names, known, default=target.to
            )
            answers |= {(question.id, old): each for old, each in found.items()}
        self._check_deciders(part, [*labels.values(), *answers.values()])
        merged = frozenset(each.to for each in labels.values() if each.fate == "merged")
        return PassChange(
            to=there.id,
            labels=labels,
            questions=questions,
            answers=answers,
            certainty=_certainties(part),
            joined=merged,
            note=next((each.id for each in part.questions if each.role == "note"), ""),
            order=_order(there),
        )

    def _question(self, part: Pass, question: Question, there: Pass) -> Target:
        rule = self._rule(part.id, question.id, "")
        if rule is not None and rule.kind == "drop":
            return Target("dropped", reason=rule.reason)
        if rule is not None and rule.kind != "rename":
            self.problems.append(f"The question {question.id!r} can only be renamed or dropped.")
        name = rule.to if rule is not None else question.id
        match = next((each for each in there.questions if each.id == name), None)
        why = "" if match is None else _incompatible(question, match)
        if match is None or why:
            self.orphans.append(Orphan(part.id, question=question.id, why=why))
            return Target("dropped")
        return Target("renamed" if rule is not None else "kept", to=name)

    def _targets(
        self,
        pass_id: str,
        question: str,
        olds: Sequence[str],
        known: Mapping[str, Sequence[str]],
        *,
        default: str = "",
    ) -> dict[str, Target]:
        """Find out what becomes of a pass's labels, or of a question's answers.

        `known` lists the new ids by new question ("" for segment labels); `default` is the new
        question that the old one became.
        """
        found: dict[str, Target] = {}
        for old in olds:
            rule = self._rule(pass_id, question, old)
            if rule is not None:
                home = rule.to_question or default
                found[old] = Target(
                    _FATES[rule.kind], to=rule.to, question=home, into=rule.into, by=rule.by,
                    when=dict(rule.when), otherwise=rule.otherwise, reason=rule.reason,
                )  # fmt: skip
                self._check_leads(rule, known.get(home, ()), home)
            elif old in known.get(default, ()):
                found[old] = Target("kept", to=old, question=default)
            else:
                orphan = Orphan(pass_id, label=old if not question else "", question=question,
                                value=old if question else "")  # fmt: skip
                self.orphans.append(orphan)
                found[old] = Target("dropped", question=default)
        self._check_bijection(pass_id, question, found)
        return found

    def _check_leads(self, rule: Rule, known: Sequence[str], home: str) -> None:
        """Everything that a rule leads to must exist in the new version."""
        leads = {rule.to, *rule.into, *(to for _, to in rule.when), rule.otherwise} - {""}
        for missing in sorted(leads - set(known)):
            where = f" among the answers to {home!r}" if home else ""
            self.problems.append(
                f"The migration of {_named(rule)} leads to {missing!r}, which version "
                f"{self.new.version} does not have{where}."
            )
        if rule.kind == "split":
            for stray in sorted({to for _, to in rule.when} | {rule.otherwise} - {""}):
                if stray and stray not in rule.into:
                    self.problems.append(
                        f"The split of {_named(rule)} decides for {stray!r}, which is not among "
                        "its 'into'."
                    )
            if bool(rule.when) != bool(rule.by):
                self.problems.append(
                    f"The split of {_named(rule)} needs 'by' (the answer that decides) and 'when' "
                    "together; leave out both to ask the rater again."
                )

    def _check_bijection(self, pass_id: str, question: str, found: Mapping[str, Target]) -> None:
        """Two old ids may come together only where the author wrote that they merge."""
        taken: dict[tuple[str, str], str] = {}
        for old, target in found.items():
            if target.fate not in ("kept", "renamed"):
                continue
            place = (target.question, target.to)
            if place in taken:
                self.problems.append(
                    f"Both {taken[place]!r} and {old!r} become {target.to!r} in the pass "
                    f"{pass_id!r}; write that under 'merge', not 'rename'."
                )
            taken[place] = old
        if question:
            return
        merged = {target.to for target in found.values() if target.fate == "merged"}
        for old, target in found.items():
            if target.fate == "renamed" and target.to in merged:
                self.problems.append(
                    f"{old!r} is renamed to {target.to!r}, into which others merge; write it under "
                    "'merge' with them."
                )

    def _check_deciders(self, part: Pass, targets: Sequence[Target]) -> None:
        known = {question.id: question.value_names for question in part.questions}
        for target in targets:
            if not target.by:
                continue
            if target.by not in known:
                self.problems.append(
                    f"A split in the pass {part.id!r} is decided by {target.by!r}, which version "
                    f"{self.old.version} does not ask there."
                )
                continue
            for answer in sorted(set(target.when) - set(known[target.by])):
                self.problems.append(
                    f"A split in the pass {part.id!r} is decided by the answer {answer!r} to "
                    f"{target.by!r}, which version {self.old.version} does not have."
                )


def _named(rule: Rule) -> str:
    olds = " and ".join(map(repr, rule.olds))
    if rule.question:
        return f"{olds or 'the whole'} of {rule.question!r} in the pass {rule.pass_id!r}"
    return f"{olds} in the pass {rule.pass_id!r}" if olds else f"the pass {rule.pass_id!r}"


def _incompatible(old: Question, new: Question) -> str:
    """Say why answers to the old question cannot stand as answers to the new one; "" if fine."""
    widened = old.kind in _SAME_ANSWERS and new.kind in (*_SAME_ANSWERS, "multiple")
    if old.kind != new.kind and not widened:
        return f"it was of kind {old.kind!r} and is of kind {new.kind!r}"
    if old.role != new.role:
        return f"its role was {old.role!r} and is {new.role!r}"
    if old.about != new.about:
        return "it is about another question now"
    if old.kind == "rating" and set(old.points) - set(new.points):
        return f"it went from {old.points[0]} to {old.points[-1]} in steps of {old.step}"
    if old.kind == "compound":
        kept = [pair for pair in old.allowed_pairs if set(pair) <= set(new.value_names)]
        if any(PAIR.join(sorted(p)) not in _pairs(new) for p in kept):
            return "pairs that could be chosen no longer can"
    if old.each is not None and (
        new.each is None
        or old.each.kind != new.each.kind
        or set(old.each.value_ids) - set(new.each.value_ids)
    ):
        return "what it asks about each answer is no longer asked so"
    return ""


def _pairs(question: Question) -> set[str]:
    return {PAIR.join(sorted(pair)) for pair in question.allowed_pairs}


def _certainties(part: Pass) -> dict[str, str]:
    """Which question asked for the certainty of what: a clip's question, or "" for a segment."""
    if part.unit == "segment":
        asked = [each.id for each in part.questions if each.role == "certainty"]
        return {"": asked[0]} if asked else {}
    found: dict[str, str] = {}
    for question in part.questions:
        about = part.certainty_about(question.id)
        if question.role != "certainty" and about is not None:
            found[question.id] = about.id
    return found


def _order(part: Pass) -> dict[str, int]:
    names: list[str] = []
    for question in part.questions:
        names.append(question.id)
        names += [f"{question.id}/{value}" for value in question.value_names]
    return {name: index for index, name in enumerate(names)}


def _changes(old: Codebook, new: Codebook, reading: _Reading) -> Iterator[str]:
    """Say what is different, in sentences for the people of the study."""
    for pass_id, change in reading.passes.items():
        if not change.to:
            reason = f": {change.reason}" if change.reason else ""
            yield f"The pass {pass_id!r} is no longer there{reason}."
            continue
        if change.to != pass_id:
            yield f"The pass {pass_id!r} is called {change.to!r}."
        for name, target in change.labels.items():
            yield from _said(f"The segment label {name!r}", target)
        for name, target in change.questions.items():
            yield from _said(f"The question {name!r}", target)
        for (question, name), target in change.answers.items():
            yield from _said(f"The answer {name!r} to {question!r}", target)
    before, after = _names(old), _names(new)
    led = _led_to(reading.passes)
    for name in after:
        if name not in before and name not in led:
            yield f"New: {name}."
    if old.passes != new.passes and before.keys() == after.keys():
        yield "Wording, keys, colours, examples or rules changed; see the two files."


def _said(what: str, target: Target) -> Iterator[str]:
    if target.fate == "dropped":
        yield f"{what} is dropped{': ' + target.reason if target.reason else ''}."
    elif target.fate == "split":
        into = ", ".join(map(repr, target.into))
        by = f", decided by {target.by!r}" if target.by else "; the raters are asked again"
        yield f"{what} is split into {into}{by}."
    elif target.fate != "kept":
        word = "becomes part of" if target.fate == "merged" else "is called"
        yield f"{what} {word} {target.to!r}."


def _names(codebook: Codebook) -> dict[str, None]:
    found: dict[str, None] = {}
    for part in codebook.passes:
        found[f"the pass {part.id!r}"] = None
        for label in part.label_ids:
            found[f"the segment label {label!r} of the pass {part.id!r}"] = None
        for question in part.questions:
            found[f"the question {question.id!r} of the pass {part.id!r}"] = None
            for value in question.value_names:
                found[f"the answer {value!r} to {question.id!r} in the pass {part.id!r}"] = None
    return found


def _led_to(passes: Mapping[str, PassChange]) -> set[str]:
    found: set[str] = set()
    for change in passes.values():
        found.add(f"the pass {change.to!r}")
        found |= {f"the segment label {t.to!r} of the pass {change.to!r}"
                  for t in change.labels.values()}  # fmt: skip
        found |= {f"the question {t.to!r} of the pass {change.to!r}"
                  for t in change.questions.values()}  # fmt: skip
        found |= {f"the answer {t.to!r} to {t.question!r} in the pass {change.to!r}"
                  for t in change.answers.values()}  # fmt: skip
    return found
