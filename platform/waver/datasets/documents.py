"""What a person reads first: README, dataset card, and the evidence beside them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from waver.core.clock import MICROSECONDS
from waver.core.errors import IntegrityProblem
from waver.datasets import receipts, verify
from waver.datasets.consensus import Consensus, counts_of
from waver.datasets.content import Content, counted
from waver.datasets.draft import Draft
from waver.datasets.exporters import EXPORTERS
from waver.datasets.splits import Fold

BUILDER = "documents/2"
_FOLDS = {Fold.TRAIN: "training", Fold.VALIDATION: "validation", Fold.TEST: "test"}


def write(content: Content, draft: Draft, *, root: str) -> None:
    """Write README.md and DATASET_CARD.md, and beside them evidence, rules and verify.py."""
    with draft.text_container("README.md", BUILDER) as out:
        out.write("\n".join(_readme(content, root)) + "\n")
    with draft.text_container("DATASET_CARD.md", BUILDER) as out:
        out.write(_card(content, root))
    with draft.text_container("receipt.json", BUILDER) as out:
        json.dump(_evidence(content, root), out, indent=1, sort_keys=True)
        out.write("\n")
    with draft.text_container("consensus.json", BUILDER) as out:
        json.dump(_derivations(content), out, indent=1, sort_keys=True)
        out.write("\n")
    with draft.text_container("policy.yaml", BUILDER) as out:
        out.write(content.gate_run.policy.text)
    with draft.text_container("codebook.yaml", BUILDER) as out:
        out.write(content.gate_run.snapshot.codebook.text)
    with draft.container("verify.py", BUILDER) as path:
        shutil.copyfile(Path(verify.__file__), path)


def figures(content: Content) -> dict[str, Any]:
    """Give the numbers that the release's page and card show."""
    clips = content.clips
    folds = Counter({clip.participant: clip.fold for clip in clips}.values())
    return {
        "participants": len(content.participants),
        "recordings": len(clips),
        "duration_us": sum(clip.recording.duration_us or 0 for clip in clips),
        "frames": sum(clip.frames for clip in clips),
        "raters": len(content.raters),
        "splits": {fold: folds.get(fold, 0) for fold in Fold.values},
        "labels": {
            key: found.standing.verdict
            for key, found in (*content.labels.items(), *content.soft.items())
        },
        "blocked": {key: found.verdict for key, found in content.blocked.items()},
        "reasons": {key: found.sentence for key, found in content.blocked.items()},
        "left_out": [
            {"reason": why, "recordings": count, "participants": who}
            for why, (count, who) in content.left_out.items()
        ],
        "consensus": content.terms.to_dict()
        | {
            "labels": {
                key: counts_of(found.made)
                | {"method": found.made.method, "sha256": found.made.sha256}
                for key, found in content.labels.items()
            }
        },
        "formats": [exporter.NAME for exporter in EXPORTERS if exporter.applies(content)],
        "is_synthetic": content.is_synthetic,
        "is_demonstration": content.is_demonstration,
    }


def stamps(content: Content) -> list[str]:
    """Give the warnings that stand on top of everything."""
    found = []
    if content.is_demonstration:
        found.append(
            "DEMONSTRATION. The gate's policy asked for fewer participants than an honest claim "
            "needs. Nothing here is evidence that a label is reliable."
        )
    if content.is_synthetic:
        people = sum(
            {c.participant: c.recording.participant.is_synthetic for c in content.clips}.values()
        )
        clips = sum(clip.recording.is_synthetic for clip in content.clips)
        found.append(
            f"SYNTHETIC. {clips} of {len(content.clips)} recordings, {people} of "
            f"{len(content.participants)} participants and {len(content.synthetic_raters)} of "
            f"{len(content.raters)} raters are computer-made; the tables mark each of them."
        )
    waived = [key for key, label in content.labels.items() if label.standing.waiver]
    if waived:
        found.append(
            f"WAIVED. {', '.join(waived)} did not pass the gate; see below who let it out."
        )
    if content.soft:
        found.append(
            f"TENTATIVE. {', '.join(content.soft)} came close and did not pass. Only the raters' "
            "votes are here (tables/soft_labels): do not turn them into labels."
        )
    return found


def _readme(content: Content, root: str) -> Iterator[str]:
    found = figures(content)
    yield f"# {content.study.title}, version {content.version}, {content.purpose.value} package\n"
    for stamp in stamps(content):
        yield f"> **{stamp}**\n"
    hours = found["duration_us"] / MICROSECONDS / 3600
    yield (
        f"{counted(found['recordings'], found['participants'])}, {hours:.2f} hours, "
        f" {found['frames']} frames, labelled by {found['raters']} raters. Participants and "
        "raters have names here that are used nowhere else.\n"
    )
    yield "## Labels\n"
    for key, label in content.labels.items():
        yield f"- **{key}**, {label.label.title}. {label.standing.sentence}"
        yield f"  {consensus_sentence(content, key)}"
    for key, label in content.soft.items():
        yield f"- **{key}**, {label.label.title}, only as soft labels. {label.standing.sentence}"
    for key, standing in content.blocked.items():
        yield f"- **{key}** is left out. {standing.sentence}"
    yield (
        "\nVerdicts hold for these raters. `receipt.json` has all figures, `policy.yaml` what was "
        "asked of the labels before anybody looked, `codebook.yaml` what the raters were told. The "
        f"receipt is signed ({verify.ALGORITHM}); `verify.py` checks that. The publisher's public "
        f"key is `{receipts.public_key()}`: compare it with what they tell elsewhere.\n"
    )
    yield "## Splits\n"
    yield "| fold | participants |\n|---|---|"
    yield from (f"| {name} | {found['splits'][fold]} |" for fold, name in _FOLDS.items())
    yield "\nEvery participant is in one fold only and stays there in later versions.\n"
    yield "## Left out\n"
    yield from (
        f"- {counted(row['recordings'], row['participants'])}: {row['reason']}."
        for row in found["left_out"]
    )
    yield "" if found["left_out"] else "Nothing: all labelled recordings are here.\n"
    for exporter in EXPORTERS:
        if exporter.applies(content):
            yield f"## {exporter.TITLE}\n"
            yield from (f"{sentence}\n" for sentence in exporter.describe(content))
        elif not exporter.ON_REQUEST:
            yield f"## {exporter.TITLE}\n"
            yield "Not made: none of the labels that it holds is released.\n"
    yield "## Is it whole?\n"
    yield (
        "`python3 verify.py` in this folder finds every changed, missing or extra file. It needs "
        f"Python 3.10 and nothing else. The root of the manifest is `{root}`.\n"
    )
    yield "## Withdrawal\n"
    yield (
        "A participant may withdraw at any time. A new revision then leaves that person out: the "
        "root stays the same, their leaves in `manifest.json` become tombstones. When you are told "
        "of one, replace your copy and delete what you derived from the old one."
    )


def _card(content: Content, root: str) -> str:
    """Write the dataset card: a block of YAML for catalogues, then the same in words."""
    found = figures(content)
    head = {
        "pretty_name": content.study.title,
        "version": content.version,
        "language": list(content.study.languages),
        "license": "other",
        "task_categories": ["video-classification"],
        "annotations_creators": ["machine-generated" if content.synthetic_raters else "expert"],
        "tags": ["affect", "consented-recordings"]
        + (["synthetic"] if content.is_synthetic else [])
        + (["demonstration"] if content.is_demonstration else []),
        "dataset_info": {
            "participants": found["participants"],
            "recordings": found["recordings"],
            "frames": found["frames"],
            "manifest_root": root,
        },
    }
    study = content.study
    lines = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n",
        f"# {study.title}\n",
        *(f"> **{stamp}**\n" for stamp in stamps(content)),
        f"- Purpose of this package: {content.purpose.label}",
        f"- Setting: {study.get_setting_display()}",
        f"- Ethics approval: {study.ethics_approval or 'none recorded'}",
        f"- Intended use: {study.intended_use or 'none recorded'}",
        f"- Codebook: {content.codebook.title}, version {content.codebook.version}",
        f"- Released labels: {', '.join(content.labels) or 'none'}",
        f"- Tentative labels, as votes only: {', '.join(content.soft) or 'none'}",
        f"- Blocked labels: {', '.join(content.blocked) or 'none'}",
        *(f"- Consensus of {key}: {consensus_sentence(content, key)}" for key in content.labels),
        f"- Gate: look {content.gate_run.look}, snapshot {content.gate_run.snapshot.number}",
    ]
    return "\n".join(lines) + "\n"


def consensus_sentence(content: Content, key: str) -> str:
    """Say how a label's consensus came about, with the agreement that the raters had before."""
    made = content.labels[key].made
    counts = counts_of(made)
    said = ["Majority of the raters." if made.method == "majority" else _MODELLED]
    alpha = _initial_alpha(content, key)
    if counts["adjudicated"]:
        said.append(
            f"Adjudicated consensus, initial alpha = {alpha}: {counts['adjudicated']} disputed "
            "items were decided by a person. Alpha and verdict are those of the raw labels; "
            "adjudication changes neither."
        )
    if counts["undecided"]:
        said.append(f"{counts['undecided']} are undecided and have no value.")
    if counts["flagged"]:
        said.append(f"In {counts['flagged']} the model contradicts the vote, which stands.")
    if counts["prelabelled"]:
        said.append(
            f"In {counts['prelabelled']} recordings a rater saw pre-labels; each is flagged, and "
            "none counts for alpha."
        )
    return " ".join(said)


_MODELLED = (
    "Majority of the raters, held against a model of each rater's errors (Dawid and Skene, from "
    "the recordings of this revision)."
)


def _initial_alpha(content: Content, key: str) -> str:
    """The alpha of the raw labels, from the signed receipt."""
    alpha = content.gate_run.receipt["labels"].get(key, {}).get("alpha")
    return f"{alpha:.3f}" if isinstance(alpha, int | float) else "undefined"


def _derivations(content: Content) -> dict[str, Any]:
    """What each label's consensus follows from: method, parameters, code, snapshot, decisions."""

    def derivation(made: Consensus) -> dict[str, Any]:
        return {**made.identity, "sha256": made.sha256, "counts": counts_of(made)}

    labels = {key: derivation(found.made) for key, found in content.labels.items()}
    return {**content.terms.to_dict(), "labels": labels}


def _evidence(content: Content, root: str) -> dict[str, Any]:
    """The signed receipt, and a signed statement of what was let out on it.

    The statement holds the waivers that were in force when the release was published, the labels
    that leave as votes only, and the root, so that neither can be taken for another release's.
    """
    waivers = {
        key: {
            "waived_by": label.standing.waiver.waived_by,
            "reason": label.standing.waiver.reason,
            "until": label.standing.waiver.until.isoformat(),
        }
        for key, label in content.labels.items()
        if label.standing.waiver is not None
    }
    run = content.gate_run
    statement = {
        "name": content.name,
        "root": root,
        "receipt_sha256": hashlib.sha256(verify.canonical(run.receipt)).hexdigest(),
        "labels": {key: label.standing.verdict for key, label in content.labels.items()},
        "soft_labels": {key: label.standing.verdict for key, label in content.soft.items()},
        "waivers": waivers,
    }
    signed_with = receipts.key_of(run.receipt, run.signature)
    if signed_with is None:
        raise IntegrityProblem(
            f"The receipt of gate run {run.pk} is not the one that was signed, so no release can "
            "carry it. An administrator must find out who changed the database."
        )
    return {
        "receipt": run.receipt,
        "signature": receipts.signature_entry(run.signature, signed_with),
        "release": statement,
        "release_signature": receipts.signature_entry(
            receipts.sign(statement, kind=verify.STATEMENT), receipts.public_key()
        ),
    }
