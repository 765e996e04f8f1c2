"""Recordings, the assets made from them, the stages that made these, and what was found."""

from __future__ import annotations

from fractions import Fraction

from django.db import models
from django.db.models import F, Q

from waver.consent.models import Participant
from waver.core.models import Blob, Row
from waver.studies.models import Prompt, Study


class Take(Row):
    """One participant answering one prompt once: the sync group that several views share.

    The take's clock is that of its webcam view; the other views say where they lie on it.
    """

    # What the study's records call it; empty where each file is a take of its own.
    name = models.CharField(max_length=80, blank=True)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="takes")
    prompt = models.ForeignKey(Prompt, null=True, blank=True, on_delete=models.PROTECT)
    recorded_at = models.DateTimeField()  # from the manifest, never from a file's time stamp
    capture_condition = models.CharField(max_length=120, blank=True)
    # What is spoken, as a code of the study's languages; empty: the participant's consent form's.
    language = models.CharField(max_length=12, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "name"],
                condition=~Q(name=""),
                name="take_name_once_per_participant",
            )
        ]


class Recording(Row):
    """One view of a take. Its clock is the proxy's: microseconds, 0 at the first frame."""

    class State(models.TextChoices):
        RECEIVED = "received", "Received"
        PROCESSING = "processing", "Being prepared"
        READY = "ready", "Ready for annotation"
        ATTENTION = "attention", "Needs a decision"
        FAILED = "failed", "Could not be prepared"
        REFUSED = "refused", "Not covered by consent"

    class View(models.TextChoices):
        WEBCAM = "webcam", "Webcam"
        SECOND_CAMERA = "second_camera", "Second camera"
        DEPTH = "depth", "Depth camera"
        PHYSIOLOGY = "physiology", "Physiology"

    class Occlusion(models.TextChoices):
        """What covers a part of the face throughout, as the study's records say."""

        NONE = "", "Nothing"
        FACE_MASK = "face_mask", "Face mask"
        HEAD_MOUNTED_DISPLAY = "head_mounted_display", "Head-mounted display"
        OTHER = "other", "Something else"

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="recordings")
    take = models.ForeignKey(Take, on_delete=models.PROTECT, related_name="recordings")
    view = models.CharField(max_length=16, choices=View.choices, default=View.WEBCAM)
    # Where this view's 0 lies on the take's clock: positive where it began later than the webcam.
    offset_us = models.BigIntegerField(default=0)
    occlusion = models.CharField(max_length=24, choices=Occlusion.choices, blank=True, default="")
    # Which face a person chose as the participant's, and among which: see pipeline.FACES. Empty:
    # the rule chooses.
    participant_chosen = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.RECEIVED)
    # What the researcher must know: sentences, newest last (no sound, two people, ...).
    notes = models.JSONField(default=list)
    error = models.TextField(blank=True)
    # What stages asked when a person accepted the recording as it is; null: nobody has.
    accepted_decisions = models.JSONField(null=True, blank=True, default=None)
    original_name = models.CharField(max_length=255)  # personal data: never shown to raters
    original_sha256 = models.CharField(max_length=64)
    is_synthetic = models.BooleanField(default=False)
    # Of the proxy, once it is made.
    duration_us = models.BigIntegerField(null=True, blank=True)
    frame_count = models.PositiveIntegerField(null=True, blank=True)
    rate_numerator = models.PositiveIntegerField(null=True, blank=True)
    rate_denominator = models.PositiveIntegerField(null=True, blank=True)
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["study", "original_sha256"], name="recording_not_twice_in_a_study"
            ),
            models.UniqueConstraint(
                fields=["take"], condition=Q(view="webcam"), name="recording_one_webcam_per_take"
            ),
        ]
        indexes = [models.Index(fields=["study", "state"], name="recording_study_state")]

    @property
    def rate(self) -> Fraction | None:
        """Frames per second of the proxy, exact; None before the proxy is made."""
        if self.rate_numerator is None or self.rate_denominator is None:
            return None
        return Fraction(self.rate_numerator, self.rate_denominator)

    @property
    def participant(self) -> Participant:
        """Whose recording it is."""
        return self.take.participant


class RefusedFile(Row):
    """A file that an import refused, and why: kept until the file comes in, for the study's page.

    Nothing of the file itself is stored. `participant` is who the manifest says it is of, if known.
    """

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="refused_files")
    participant = models.ForeignKey(
        Participant, null=True, blank=True, on_delete=models.CASCADE, related_name="refused_files"
    )
    file = models.CharField(max_length=255)
    sentence = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["study", "file"], name="refused_file_once_per_study")
        ]

    def __str__(self) -> str:
        return self.file


class Asset(Row):
    """Bytes that belong to a recording, and exactly how they were made."""

    class Kind(models.TextChoices):
        ORIGINAL = "original"
        PROXY = "proxy"
        FRAME_MAP = "frame_map"
        AUDIO_NATIVE = "audio_native"
        AUDIO_16K = "audio_16k"
        WAVEFORM = "waveform"
        LANDMARKS = "landmarks"
        FACE_OUTLINE = "face_outline"  # of the face table, as much as a timeline draws
        CROPS = "crops"
        CROP_INDEX = "crop_index"
        CONTACT_SHEET = "contact_sheet"
        FACE_PREVIEW = "face_preview"  # one for each face that was followed: `number` is its track
        MASKED_PREVIEW = "masked_preview"
        SPEECH = "speech"
        TRANSCRIPT = "transcript"  # the version that stands; see Transcript
        SIGNALS = "signals"  # sensor channels, every sample
        SIGNAL_OUTLINE = "signal_outline"  # as much of them as a timeline draws
        FEATURES = "features"

    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="assets")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    # Tells assets of one kind apart where there are several; 0 where there is one.
    number = models.PositiveIntegerField(default=0)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="assets")
    media_type = models.CharField(max_length=80)
    # {"stage": name, "version": n, "inputs": [sha256], "tools": {...}, "parameters": {...}}
    made_by = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["recording", "kind", "number"], name="asset_one_of_a_kind"
            )
        ]


class Stage(Row):
    """One step of a recording's processing. Same inputs and version: it is not done again."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        REFUSED = "refused"

    recording = models.ForeignKey(Recording, on_delete=models.CASCADE, related_name="stages")
    name = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.WAITING)
    inputs_sha256 = models.CharField(max_length=64, blank=True)
    figures = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    runs = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["recording", "name"], name="stage_once_per_recording")
        ]


class FaceTrack(Row):
    """One person seen in a recording, from first to last frame."""

    recording = models.ForeignKey(Recording, on_delete=models.CASCADE, related_name="face_tracks")
    number = models.PositiveIntegerField()
    start_us = models.BigIntegerField()
    end_us = models.BigIntegerField()
    usable_share = models.FloatField()
    mean_score = models.FloatField()
    is_participant = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["recording", "number"], name="track_number_unique"),
            models.UniqueConstraint(
                fields=["recording"],
                condition=Q(is_participant=True),
                name="track_one_participant",
            ),
            models.CheckConstraint(
                condition=Q(end_us__gt=F("start_us")), name="track_span_forward"
            ),
        ]

    @property
    def usable_share_of_recording(self) -> float:
        """Share, 0 to 1, of the whole recording in which this face is usable."""
        length = self.recording.duration_us or 0
        return self.usable_share * (self.end_us - self.start_us) / length if length else 0.0


class Transcript(Row):
    """One version of what is said in a recording; the highest stands. Personal data.

    The blob is JSON: {"language", "segments": [{"start_us", "end_us", "text", "speaker"?,
    "words"?: [{"start_us", "end_us", "text", "probability"?}]}]}. A correction is a new version.
    """

    class Source(models.TextChoices):
        IMPORTED = "imported", "Imported"
        CORRECTED = "corrected", "Corrected by hand"
        MODEL = "model", "Made by a model"

    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="transcripts")
    version = models.PositiveIntegerField()
    source = models.CharField(max_length=12, choices=Source.choices)
    # The format that it was imported from, or the model that made it.
    made_from = models.CharField(max_length=120, blank=True)
    language = models.CharField(max_length=12, blank=True)
    made_by = models.CharField(max_length=150)  # user name, or the command or stage
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="transcripts")

    class Meta:
        ordering = ["version"]
        constraints = [
            models.UniqueConstraint(fields=["recording", "version"], name="transcript_version")
        ]


class SensorChannel(Row):
    """One channel of a physiology recording; its samples are in the asset `signals`."""

    recording = models.ForeignKey(
        Recording, on_delete=models.CASCADE, related_name="sensor_channels"
    )
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=80)
    unit = models.CharField(max_length=40, blank=True)
    # Samples per second; both null where the samples carry their own times.
    rate_numerator = models.PositiveBigIntegerField(null=True, blank=True)
    rate_denominator = models.PositiveBigIntegerField(null=True, blank=True)
    samples = models.PositiveBigIntegerField()
    missing = models.PositiveBigIntegerField(default=0)
    start_us = models.BigIntegerField()
    end_us = models.BigIntegerField()
    minimum = models.FloatField(null=True, blank=True)
    maximum = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["recording", "number"], name="channel_number_unique")
        ]


class QualityRules(Row):
    """A study's thresholds for a recording's quality; the highest version counts.

    `limits` is {figure: {"at_least": number} | {"at_most": number}}; see waver.recordings.quality.
    """

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="quality_rules")
    version = models.PositiveIntegerField()
    limits = models.JSONField(default=dict)
    made_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["version"]
        constraints = [
            models.UniqueConstraint(fields=["study", "version"], name="quality_rules_version")
        ]


class Quality(Row):
    """What was measured of a recording for curators, and how it stands to the study's rules."""

    class Verdict(models.TextChoices):
        MEETS = "meets", "Meets the study's thresholds"
        FALLS_SHORT = "falls_short", "Falls short of the study's thresholds"
        NO_RULES = "no_rules", "The study has no thresholds"

    recording = models.OneToOneField(Recording, on_delete=models.CASCADE, related_name="quality")
    figures = models.JSONField(default=dict)
    verdict = models.CharField(max_length=12, choices=Verdict.choices)
    reasons = models.JSONField(default=list)  # sentences, one for each figure that falls short
    rules = models.ForeignKey(QualityRules, null=True, blank=True, on_delete=models.PROTECT)


class ModelCard(Row):
    """A model or rule that marks recordings: what it is, exactly which one, on what terms."""

    code = models.SlugField(max_length=60)
    version = models.CharField(max_length=40)
    kind = models.CharField(max_length=20)
    describes = models.TextField()
    licence = models.CharField(max_length=80)
    sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "version"], name="card_version_unique")
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.version}"


class ModelRun(Row):
    """One model or rule applied to one recording."""

    card = models.ForeignKey(ModelCard, on_delete=models.PROTECT, related_name="runs")
    recording = models.ForeignKey(Recording, on_delete=models.CASCADE, related_name="model_runs")
    coverage = models.FloatField()  # share of the recording that the model could judge
    seconds = models.FloatField()
    device = models.CharField(max_length=40)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["card", "recording"], name="run_once_per_card")
        ]


class CueCandidate(Row):
    """A stretch in which a cue may show: a candidate for people to judge, never a label."""

    run = models.ForeignKey(ModelRun, on_delete=models.CASCADE, related_name="candidates")
    recording = models.ForeignKey(
        Recording, on_delete=models.CASCADE, related_name="cue_candidates"
    )
    start_us = models.BigIntegerField()
    end_us = models.BigIntegerField()
    cue = models.CharField(max_length=40)
    score = models.FloatField()
    detail = models.CharField(max_length=200)

    class Meta:
        ordering = ["start_us"]
        constraints = [
            models.CheckConstraint(
                condition=Q(end_us__gt=F("start_us")) & Q(start_us__gte=0),
                name="candidate_span_forward",
            ),
            models.CheckConstraint(
                condition=Q(score__gte=0) & Q(score__lte=1), name="candidate_score_0_to_1"
            ),
        ]
        indexes = [models.Index(fields=["recording", "start_us"], name="candidate_recording")]
