"""What recordings holds about a participant, and how it goes."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import storage
from waver.core.holders import Held, HeldList
from waver.core.models import Blob, Job
from waver.recordings import services
from waver.recordings.models import Recording, RefusedFile, Take
from waver.recordings.subjects import subject_of


class RecordingsHolder:
    """Holds takes, recordings, their assets' bytes, what was found in them, and their jobs."""

    name = "recordings"
    models: tuple[str, ...] = (
        "recordings.Take",
        "recordings.Recording",
        "recordings.Asset",
        "recordings.Stage",
        "recordings.FaceTrack",
        "recordings.Transcript",
        "recordings.SensorChannel",
        "recordings.Quality",
        "recordings.ModelRun",
        "recordings.CueCandidate",
        "recordings.RefusedFile",
    )

    def list(self, participant_id: UUID) -> HeldList:
        """List the recordings and the bytes of each asset."""
        held = []
        for recording in _recordings(participant_id):
            held.append(Held("recording", str(recording.pk), "PostgreSQL"))
            held += [
                Held(f"asset {asset.kind}", str(asset.pk), f"storage {asset.blob.sha256}")
                for asset in recording.assets.select_related("blob")
            ]
            held += [
                Held(
                    f"transcript, version {row.version}", str(row.pk), f"storage {row.blob.sha256}"
                )
                for row in recording.transcripts.select_related("blob")
            ]
        held += [Held("take", str(pk), "PostgreSQL") for pk in _takes(participant_id)]
        held += [Held("refused file", str(pk), "PostgreSQL") for pk in _refused(participant_id)]
        return held + [Held("job", str(pk), "PostgreSQL") for pk in _jobs(participant_id)]

    def quarantine(self, participant_id: UUID) -> None:
        """Stop the recordings that may not be kept any longer; other uses ask consent each time."""
        for recording in _recordings(participant_id):
            decision = policy.decide(Purpose.PROCESS, subject_of(recording))
            if not decision:
                services.stop(recording=recording, sentence=decision.reason)

    def erase(self, participant_id: UUID) -> None:
        """Remove each recording in a transaction of its own, bytes first and rows with them."""
        for recording in _recordings(participant_id):
            with transaction.atomic():
                Job.objects.filter(
                    subject_kind=services.SUBJECT_KIND, subject_id=str(recording.pk)
                ).delete()
                blobs = [
                    row.blob
                    for rows in (recording.assets, recording.transcripts)
                    for row in rows.select_related("blob")
                ]
                recording.assets.all().delete()
                recording.transcripts.all().delete()
                recording.delete()
                # Last, so that after a crash the rows are still there to try again with.
                for blob in sorted(blobs, key=lambda blob: blob.sha256):
                    storage.release(blob)
        Take.objects.filter(participant_id=participant_id).delete()
        RefusedFile.objects.filter(participant_id=participant_id).delete()

    def verify_absent(self, participant_id: UUID) -> HeldList:
        """Look for rows again, and in the storage for bytes that were erased."""
        left = self.list(participant_id)
        # Without `erased_at`, somebody is just storing them for a recording of somebody else.
        unused = Blob.objects.filter(references=0, erased_at__isnull=False)
        return left + [
            Held("bytes", blob.sha256, "storage")
            for blob in unused.iterator()
            if not storage.verify_absent(blob)
        ]


def _recordings(participant_id: UUID) -> list[Recording]:
    return list(
        Recording.objects.filter(take__participant_id=participant_id)
        .select_related("take__participant__study", "study")
        .order_by("created_at")
    )


def _takes(participant_id: UUID) -> list[UUID]:
    return list(Take.objects.filter(participant_id=participant_id).values_list("pk", flat=True))


def _refused(participant_id: UUID) -> list[UUID]:
    rows = RefusedFile.objects.filter(participant_id=participant_id)
    return list(rows.values_list("pk", flat=True))


def _jobs(participant_id: UUID) -> list[UUID]:
    about = [str(recording.pk) for recording in _recordings(participant_id)]
    jobs = Job.objects.filter(subject_kind=services.SUBJECT_KIND, subject_id__in=about)
    return list(jobs.values_list("pk", flat=True))
