"""The website's addresses. Who may open each is tested in tests/website/test_permissions.py."""

from collections.abc import Callable

from django.http import HttpResponseBase
from django.urls import URLPattern, URLResolver, path

from waver.website.labelstudio.urls import urlpatterns as label_studio_urls
from waver.website.views import (
    adjudication,
    agreement,
    auth,
    batches,
    design,
    gold,
    masked,
    people,
    pictures,
    quality,
    queue,
    raters,
    recordings,
    releases,
    sensors,
    status,
    studies,
    transcripts,
)

STUDY = "studies/<slug:code>/"
RECORDING = f"{STUDY}recordings/<uuid:recording_id>/"
RATER = f"{STUDY}raters/<uuid:rater_id>/"


def picture(address: str, view: Callable[..., HttpResponseBase], name: str) -> list[URLPattern]:
    """Give a picture's two addresses: the SVG and the table behind it."""
    return [
        path(f"{address}.{suffix}", view, {"suffix": suffix}, name=f"{name}-{suffix}")
        for suffix in ("svg", "csv")
    ]


app_name = "website"
urlpatterns: list[URLPattern | URLResolver] = [
    *label_studio_urls,  # first: raters wait for these at every step
    path("", auth.home, name="home"),
    path("sign-in/", auth.SignIn.as_view(), name="sign-in"),
    path("sign-out/", auth.SignOut.as_view(), name="sign-out"),
    path("health/", status.health, name="health"),
    path("signing-key/", releases.signing_key, name="signing-key"),
    path("status/", status.status, name="status"),
    path("queue/", queue.queue, name="queue"),
    path("queue/<uuid:batch_id>/instructions/", queue.instructions, name="instructions"),
    path("queue/<uuid:batch_id>/answers/", queue.training_answers, name="training"),
    path("studies/", studies.studies, name="studies"),
    path(STUDY, studies.study, name="study"),
    path(f"{STUDY}recordings/", studies.recordings, name="recordings"),
    path(f"{STUDY}quality/", quality.quality, name="quality"),
    path(f"{STUDY}quality/measure/", quality.measure, name="quality-measure"),
    path(f"{STUDY}quality/recordings.csv", quality.table, name="quality-table"),
    *picture(f"{STUDY}quality/<slug:figure>", quality.distribution, "quality-figure"),
    path(RECORDING, recordings.recording, name="recording"),
    path(f"{RECORDING}timeline.json", recordings.timeline, name="recording-timeline"),
    path(f"{RECORDING}media/<slug:kind>/", recordings.recording_media, name="recording-media"),
    path(f"{RECORDING}faces/<int:frame>.jpg", recordings.face, name="recording-face"),
    path(f"{RECORDING}sensors.json", sensors.stretch, name="recording-sensors"),
    path(f"{RECORDING}sensors.csv", sensors.table, name="recording-sensors-csv"),
    path(f"{RECORDING}people/<int:number>/<slug:kind>/", people.picture, name="recording-person"),
    path(f"{RECORDING}people/", people.choose, name="recording-participant"),
    path(f"{RECORDING}accept/", recordings.accept, name="recording-accept"),
    path(f"{RECORDING}masked/", masked.ask, name="recording-masked"),
    path(f"{RECORDING}transcript/", transcripts.correct, name="recording-transcript"),
    path(
        f"{RECORDING}transcript/import/", transcripts.bring_in, name="recording-transcript-import"
    ),
    path(f"{RECORDING}transcript/make/", transcripts.make, name="recording-transcript-make"),
    path(
        f"{RECORDING}transcript/restore/", transcripts.restore, name="recording-transcript-restore"
    ),
    path(
        f"{RECORDING}transcript/versions/",
        transcripts.history,
        name="recording-transcript-versions",
    ),
    path(
        f"{RECORDING}transcript.<slug:form>", transcripts.download, name="recording-transcript-file"
    ),
    path(f"{RECORDING}elan/", recordings.elan_file, name="recording-elan"),
    path(f"{STUDY}batches/", batches.batches, name="batches"),
    path(f"{STUDY}batches/<uuid:batch_id>/again/", batches.send_again, name="batch-again"),
    path(f"{STUDY}batches/give-away/", batches.give_to_others, name="batch-give-away"),
    path(f"{STUDY}design/", design.design, name="design"),
    path(f"{STUDY}agreement/look/", agreement.look, name="agreement-look"),
    path(f"{STUDY}agreement/", agreement.newest, name="agreement"),
    path(f"{STUDY}agreement/<uuid:run_id>/", agreement.run, name="agreement-run"),
    path(f"{STUDY}agreement/<uuid:run_id>/waive/", agreement.waive, name="agreement-waive"),
    path(f"{STUDY}agreement/<uuid:run_id>/table.csv", agreement.table, name="agreement-table"),
    path(f"{STUDY}agreement/<uuid:run_id>/plot.svg", agreement.plot, name="agreement-plot"),
    *picture(f"{STUDY}agreement/<uuid:run_id>/raters", pictures.raters, "picture-raters"),
    *picture(f"{STUDY}agreement/<uuid:run_id>/confusion", pictures.confusion, "picture-confusion"),
    path(
        f"{STUDY}agreement/<uuid:run_id>/recordings.csv", pictures.disputed, name="picture-disputed"
    ),
    path(f"{STUDY}agreement/<uuid:run_id>/pictures/", pictures.compute, name="pictures-compute"),
    *picture(f"{RECORDING}disagreement", pictures.recording, "picture-recording"),
    path(f"{STUDY}anchoring/", pictures.anchoring, name="anchoring"),
    *picture(f"{STUDY}anchoring/comparison", pictures.anchoring_file, "picture-anchoring"),
    path(f"{STUDY}adjudication/", adjudication.queue, name="adjudication"),
    path(f"{STUDY}adjudication/<str:item>/", adjudication.item, name="adjudication-item"),
    path(
        f"{STUDY}agreement/<uuid:run_id>/release/", releases.request_release, name="release-request"
    ),
    path("raters/me/", raters.mine, name="my-figures"),
    path(f"{STUDY}raters/", raters.raters, name="raters"),
    path(f"{STUDY}raters/notice/", raters.notice, name="rater-notice"),
    path(RATER, raters.rater, name="rater"),
    path(f"{STUDY}gold/", gold.known_answers, name="gold"),
    path(f"{STUDY}gold/<uuid:item_id>/retire/", gold.retire, name="gold-retire"),
    path(f"{RATER}figures.csv", raters.table, name="rater-table"),
    path(f"{RATER}held.json", raters.held_by_study, name="rater-held"),
    path(f"{RATER}profile/", raters.profile, name="rater-profile"),
    path(f"{RATER}conflicts/", raters.conflicts, name="rater-conflicts"),
    *(
        path(
            f"{RATER}{kind}-<int:place>.{suffix}",
            raters.plot,
            {"kind": kind, "suffix": suffix},
            name=f"rater-{kind}-{suffix}",
        )
        for kind in ("course", "times")
        for suffix in ("svg", "csv")
    ),
    path(f"{STUDY}releases/", releases.releases, name="releases"),
    path(f"{STUDY}releases/<uuid:release_id>/", releases.release, name="release"),
    path(
        f"{STUDY}releases/<uuid:release_id>/download/", releases.download, name="release-download"
    ),
]
