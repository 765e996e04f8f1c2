"""What the speech stage leaves behind, where the sound drifts and what is said is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from tests.media import sounds
from tests.speech import spoken
from waver.core import jobs, storage
from waver.recordings.jobs import NORMALISE, SPEECH
from waver.recordings.models import Asset, Stage
from workers import runner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.programs]

DRIFT = 4000  # parts in a million: 68 ms over 17 s


@pytest.fixture
def answer(tmp_path: Path) -> Path:
    """Three sentences with pauses, whose sound counts its seconds too slowly."""
    whole = spoken.put_together(spoken.sentences(*spoken.VOICES[0]), spoken.SILENCES)
    heard = spoken.with_noise(whole, 30).samples / 32768
    # as a slow converter takes it: fewer samples for the same time
    fast = resample_poly(heard, 3, 1)
    own = np.interp(np.arange(0, fast.size, 1 + DRIFT / 1e6), np.arange(fast.size), fast)
    return sounds.write_recording(
        tmp_path / "answer.mp4",
        seconds=int(heard.size / spoken.RATE),
        samples=own.astype(np.float32).reshape(1, -1),
        time_of=lambda second: second * (1 + DRIFT / 1e6),
    )


def test_rate_and_pauses_are_kept_and_drift_is_told(receive, answer: Path) -> None:
    recording = receive(answer)
    while (job := jobs.claim_next(queues=["cpu", "gpu"])) is not None:
        if job.name in (NORMALISE.name, SPEECH.name):
            runner.run(job, guarded=False)
    figures = Stage.objects.get(recording=recording, name="speech").figures
    assert figures["syllables"] == pytest.approx(53, abs=4)
    assert figures["pauses"] == 2
    assert figures["pause_longest_ms"] == pytest.approx(1500, abs=170)
    assert 3 < figures["syllables_per_second"] < figures["articulation_rate"] < 5

    normalised = Stage.objects.get(recording=recording, name="normalise").figures
    assert normalised["audio_drift_ppm"] == pytest.approx(DRIFT, abs=30)
    assert any("parts in a million slow" in note for note in normalised["notes"])

    with storage.materialise(recording.assets.get(kind=Asset.Kind.SPEECH).blob) as path:
        record = json.loads(path.read_text())
    assert record["figures"]["articulation_rate"] == figures["articulation_rate"]
    # on the page's clock, not on the microphone's: the last sentence is where it was said
    truth = spoken.put_together(spoken.sentences(*spoken.VOICES[0]), spoken.SILENCES).spans
    assert record["segments"][-1]["start_us"] == pytest.approx(truth[-1][0] * 62.5, abs=60_000)
    assert record["pauses"][-1]["end_us"] == pytest.approx(truth[-1][0] * 62.5, abs=60_000)
