"""What a recording's page draws under the video, as one JSON-able dictionary."""

from __future__ import annotations

import json
from typing import Any

from waver.consent import policy
from waver.consent.models import Purpose, Restriction
from waver.core import storage
from waver.recordings import drawn, signals
from waver.recordings.models import Asset, Recording
from waver.recordings.subjects import subject_of
from waver.recordings.transcripts import versions

_Kind = Asset.Kind
_DRAWN = (_Kind.WAVEFORM, _Kind.SPEECH, _Kind.FACE_OUTLINE)


def timeline(recording: Recording, *, actor: str = "recording page") -> dict[str, Any]:
    """Give everything that the timeline of a recording shows; times are integer microseconds.

    Keys: `duration_us`, `frame_count`, `rate` ([numerator, denominator]), `waveform`
    ({buckets_per_second, peaks 0..1}), `speech` and `pauses` ([[start_us, end_us], ...]),
    `transcript` ({version, language, source, segments: [{start_us, end_us, text, speaker}, ...]} of
    the version that stands), `faces` ({tracks,
    runs: [[start_us, end_us, status], ...]}, of the participant's face; the status is “usable” or
    as in workers.faces.table), `pose` ({time_us, yaw, pitch, roll} in degrees, None where unknown),
    `cues`, `cues_refused` (the sentence when consent does not cover them), `restrictions`, and
    `sensors`, the channels of the take on this recording's clock (see waver.recordings.signals).
    What is not made yet is None or empty. Raises ConsentRefused when the recording may not be used.
    """
    subject = subject_of(recording)
    policy.require(Purpose.PROCESS, subject, actor=actor)
    made = {
        asset.kind: json.loads(b"".join(storage.open_range(asset.blob)))
        for asset in recording.assets.filter(kind__in=_DRAWN).select_related("blob")
    }
    speech = made.get(_Kind.SPEECH, {})
    outline = made.get(_Kind.FACE_OUTLINE, {})
    infer = policy.decide(Purpose.INFER, subject)
    rate = recording.rate
    return {
        "view": recording.view,
        "sensors": signals.for_timeline(recording, actor=actor),
        "duration_us": recording.duration_us,
        "frame_count": recording.frame_count,
        "rate": [rate.numerator, rate.denominator] if rate else None,
        "waveform": drawn.waveform(made.get(_Kind.WAVEFORM)),
        "speech": _spans(speech.get("segments", [])),
        "pauses": _spans(speech.get("pauses", [])),
        "transcript": _transcript(recording),
        "faces": {"tracks": _tracks(recording), "runs": drawn.runs(outline.get("runs", []))},
        "pose": drawn.curve(outline.get("pose")),
        "cues": _cues(recording) if infer else [],
        "cues_refused": "" if infer else infer.reason,
        "restrictions": [
            {"start_us": row.start_us, "end_us": row.end_us, "reason": row.reason}
            for row in Restriction.objects.filter(recording_id=recording.pk).order_by("start_us")
        ],
    }


def _spans(rows: list[dict[str, int]]) -> list[list[int]]:
    return [[row["start_us"], row["end_us"]] for row in rows]


def _transcript(recording: Recording) -> dict[str, Any] | None:
    """What is said, without the times of single words, which no row is high enough for."""
    row = versions.standing(recording)
    if row is None:
        return None
    return {
        "version": row.version,
        "language": row.language,
        "source": row.source,
        "segments": [
            {
                "start_us": each.start_us,
                "end_us": each.end_us,
                "text": each.text,
                "speaker": each.speaker,
            }
            for each in versions.said_in(row).segments
        ],
    }


def _tracks(recording: Recording) -> list[dict[str, Any]]:
    fields = ("number", "start_us", "end_us", "usable_share", "mean_score", "is_participant")
    return list(recording.face_tracks.order_by("-is_participant", "number").values(*fields))


def _cues(recording: Recording) -> list[dict[str, Any]]:
    candidates = recording.cue_candidates.select_related("run__card").order_by("start_us", "cue")
    return [
        {
            "start_us": row.start_us,
            "end_us": row.end_us,
            "cue": row.cue,
            "score": row.score,
            "detail": row.detail,
            "model": str(row.run.card),
        }
        for row in candidates
    ]
