"""The transcript on a recording's page: read, corrected, brought in, compared, taken out."""

from __future__ import annotations

import html
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from annotation.models import Assignment
from tests.factories import AssignmentFactory, RecordingFactory, consented_participant
from tests.website.conftest import House
from waver.consent.models import Purpose, Restriction
from waver.consent.withdrawal import withdraw
from waver.core.models import AuditEntry, Job
from waver.recordings.models import Recording, Transcript
from waver.recordings.transcripts import versions
from waver.recordings.transcripts.said import Said, Segment, Word
from waver.studies.models import Membership

S = 1_000_000
SAID = Said(
    (
        Segment(
            0, 2 * S, "I dew not know", "A",
            (Word(0, S, "I"), Word(S, 1_200_000, "dew"), Word(1_200_000, 1_500_000, "not"),
             Word(1_500_000, 2 * S, "know")),
        ),
        Segment(3 * S, 4 * S, "<b>yes</b> & no"),
    ),
    "en",
)  # fmt: skip


@pytest.fixture
def recording(house: House, storage_folder) -> Recording:
    participant = consented_participant(house.study, code="VOICE-0001")
    return RecordingFactory(participant=participant)


def keep(recording: Recording, said: Said = SAID, **more) -> Transcript:
    return versions.store(
        **{
            "recording": recording,
            "said": said,
            "source": Transcript.Source.IMPORTED,
            "made_from": "WebVTT",
            "made_by": "ada",
            **more,
        }
    ).transcript


def address(name: str, recording: Recording, *more) -> str:
    return reverse(f"website:{name}", args=["voices", recording.pk, *more])


def text_of(answer) -> str:
    """Give the page's words without its tags."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode())))


def form(do: str, *rows, based_on=1, **more) -> dict:
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    names = ("start", "end", "text", "speaker")
    return {
        "do": do, "language": "en", "based_on": based_on, "caret": "", "at_us": "",
        **dict(zip(names, columns, strict=True)), **more,
    }  # fmt: skip


FIRST = ("0:00.000", "0:02.000", "I dew not know", "A")
SECOND = ("0:03.000", "0:04.000", "yes", "")


def test_the_page_shows_what_is_said_beside_the_video(house: House, recording):
    client = house.client("researcher")
    page = client.get(address("recording", recording))
    assert "Nobody has written down what is said here." in text_of(page)
    assert "No speech model is set up here." in text_of(page)
    keep(recording)
    page = client.get(address("recording", recording))
    text = text_of(page)
    assert "version 1 , imported from WebVTT, language en" in text
    assert "I dew not know" in text
    assert b"&lt;b&gt;yes&lt;/b&gt; &amp; no" in page.content
    assert b'data-start-us="0" data-end-us="2000000"' in page.content
    # Words over the time from the first one to the last, 7 in 4 s.
    assert "105 words per minute" in text
    drawn = client.get(address("recording-timeline", recording)).json()["transcript"]
    assert [each["text"] for each in drawn["segments"]] == ["I dew not know", "<b>yes</b> & no"]


def test_a_correction_is_a_new_version_and_words_keep_their_times(house: House, recording):
    keep(recording)
    client = house.client("researcher")
    page = client.get(address("recording", recording) + "?transcript=edit")
    assert b'name="start" value="0:00.000"' in page.content
    assert b'name="based_on" value="1"' in page.content
    corrected = (FIRST[0], FIRST[1], "I do not know", "A")
    answer = client.post(
        address("recording-transcript", recording), form("save", corrected, SECOND), follow=True
    )
    assert "Saved as version 2." in text_of(answer)
    assert "keep the text they were sent" in text_of(answer)
    row = versions.standing(recording)
    assert (row.source, row.made_from) == ("corrected", "version 1")
    assert row.made_by == house.people["researcher"].username
    words = versions.said_in(row).segments[0].words
    assert [(w.start_us, w.text) for w in words][:3] == [(0, "I"), (S, "do"), (1_200_000, "not")]
    again = client.post(
        address("recording-transcript", recording),
        form("save", corrected, SECOND, based_on=2), follow=True,
    )  # fmt: skip
    assert "Nothing was changed; version 2 stands." in text_of(again)


def test_buttons_change_the_form_and_save_nothing(house: House, recording):
    keep(recording)
    client = house.client("researcher")

    def press(do: str, *rows, **more):
        answer = client.post(address("recording-transcript", recording), form(do, *rows, **more))
        assert answer.status_code == 200
        page = answer.content.decode()
        starts = re.findall(r'name="start" value="([^"]*)"', page)
        texts = [t.strip() for t in re.findall(r"<textarea[^>]*>([^<]*)</textarea>", page)]
        return list(zip(starts, texts, strict=True))

    assert press("split 0", FIRST, SECOND, caret="6", at_us=str(S)) == [
        ("0:00.000", "I dew"), ("0:01.000", "not know"), ("0:03.000", "yes"),
    ]  # fmt: skip
    assert press("merge 0", FIRST, SECOND) == [("0:00.000", "I dew not know yes")]
    assert press("remove 0", FIRST, SECOND) == [("0:03.000", "yes")]
    assert press("add 0", FIRST, SECOND)[1] == ("0:02.000", "")
    assert press("add -1", FIRST)[0] == ("0:00.000", "")
    assert recording.transcripts.count() == 1


def test_what_is_wrong_is_told_beside_what_was_typed(house: House, recording):
    keep(recording)
    client = house.client("researcher")
    bad = ("soon", "0:02.000", "typed text", "")
    answer = client.post(address("recording-transcript", recording), form("save", bad))
    assert answer.status_code == 400
    assert "Segment 1: “soon” is no time" in text_of(answer)
    assert "typed text" in text_of(answer)
    for do in ("split 9", "merge 0", "dance", "add x y"):
        answer = client.post(address("recording-transcript", recording), form(do, FIRST))
        assert answer.status_code in (200, 400)
    damaged = form("save", FIRST) | {"text": ["a", "b"]}
    assert client.post(address("recording-transcript", recording), damaged).status_code == 400
    assert recording.transcripts.count() == 1


def test_who_was_overtaken_keeps_the_text_and_can_save_on_top(house: House, recording):
    keep(recording)
    keep(
        recording, Said((Segment(0, 2 * S, "I don't know", "A"),), "en"),
        source=Transcript.Source.CORRECTED, made_by="grace",
    )  # fmt: skip
    client = house.client("researcher")
    mine = (FIRST[0], FIRST[1], "I do not know", "A")
    answer = client.post(address("recording-transcript", recording), form("save", mine))
    assert answer.status_code == 409
    text = text_of(answer)
    assert "grace saved version 2 meanwhile" in text
    assert "2 words added, 1 removed" in text
    assert b"I do not know</textarea>" in answer.content
    assert b'name="based_on" value="2"' in answer.content
    client.post(address("recording-transcript", recording), form("save", mine, based_on=2))
    assert versions.standing(recording).version == 3


def test_a_transcript_is_written_from_nothing(house: House, recording):
    client = house.client("lead")
    page = client.get(address("recording", recording) + "?transcript=edit")
    assert b'name="based_on" value="0"' in page.content
    client.post(
        address("recording-transcript", recording),
        form("save", ("1", "2", "hello", ""), based_on=0),
    )
    assert versions.said_in(versions.standing(recording)).text == "hello"


def test_a_file_is_brought_in_with_its_notes(house: House, recording):
    client = house.client("researcher")
    url = address("recording-transcript-import", recording)

    def send(name: str, data: bytes, **more):
        return client.post(url, {"file": SimpleUploadedFile(name, data), **more}, follow=True)

    answer = send("a.srt", "1\n00:00:01,000 --> 00:00:10,400\nDéjà\n".encode("cp1252"))
    assert "brought in as version 1" in text_of(answer)
    assert "read as Windows-1252" in text_of(answer)
    assert "ran over the recording's end" in text_of(answer)
    refused = send("a.vtt", b"hello")
    assert refused.status_code == 400
    assert "Line 1: the file does not begin with WEBVTT" in text_of(refused)
    assert client.post(url, {}).status_code == 400
    keep(recording, source=Transcript.Source.CORRECTED)
    held = send("b.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\nother")
    assert held.status_code == 409
    assert "ada corrected the transcript by hand" in text_of(held)
    send("b.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\nother", replace="1", language="fr")
    assert versions.standing(recording).language == "fr"


def test_versions_are_listed_compared_and_restored(house: House, recording):
    client = house.client("researcher")
    url = address("recording-transcript-versions", recording)
    assert "has no transcript yet" in text_of(client.get(url))
    keep(recording)
    keep(recording, Said((Segment(0, S, "I do"),), "en"), source=Transcript.Source.CORRECTED)
    page = client.get(url)
    assert "From version 1 to version 2" in text_of(page)
    assert b"<del" in page.content
    assert "From version 2 to version 1" in text_of(client.get(url + "?from=2&to=1"))
    assert client.get(url + "?from=9").status_code == 404
    assert client.get(url + "?from=x").status_code == 400
    back = address("recording-transcript-restore", recording)
    assert client.post(back, {"version": 1, "based_on": 1}).status_code == 409
    done = client.post(back, {"version": 1, "based_on": 2}, follow=True)
    assert "Version 3 stands: version 1 again." in text_of(done)
    assert versions.said_in(versions.standing(recording)) == SAID


def test_the_standing_version_is_taken_out_without_what_must_not_be_used(house: House, recording):
    client = house.client("researcher")
    assert client.get(address("recording-transcript-file", recording, "vtt")).status_code == 404
    keep(recording)
    vtt = client.get(address("recording-transcript-file", recording, "vtt"))
    assert vtt.headers["Content-Type"] == "text/vtt; charset=utf-8"
    assert b"<v A>I<00:00:01.000> dew" in vtt.content
    assert "VOICE" not in vtt.headers["Content-Disposition"]
    srt = client.get(address("recording-transcript-file", recording, "srt") + "?version=1")
    assert srt.content.startswith(b"1\n00:00:00,000 --> 00:00:02,000\nI dew not know")
    assert AuditEntry.objects.filter(verb="transcript.exported").count() == 2
    assert client.get(address("recording-transcript-file", recording, "doc")).status_code == 404
    Restriction.objects.create(
        participant=recording.participant, recording_id=recording.pk,
        start_us=0, end_us=S, reason="a name",
    )  # fmt: skip
    vtt = client.get(address("recording-transcript-file", recording, "vtt"))
    assert b"dew" not in vtt.content
    assert b"yes" in vtt.content


def test_a_stretch_that_must_not_be_used_costs_nobody_what_they_typed(house: House, recording):
    Restriction.objects.create(
        participant=recording.participant, recording_id=recording.pk,
        start_us=3 * S, end_us=4 * S, reason="a name",
    )  # fmt: skip
    typed = form("save", FIRST, SECOND, based_on=0)
    answer = house.client("researcher").post(address("recording-transcript", recording), typed)
    assert answer.status_code == 403
    assert "I dew not know" in answer.content.decode()
    assert "0:03.000 to 0:04.000 of a recording of VOICE-0001 must not be used" in text_of(answer)
    assert not recording.transcripts.exists()


def test_after_a_withdrawal_nothing_of_it_is_shown(house: House, recording):
    keep(recording)
    withdraw(participant=recording.participant, actor="t", purpose=Purpose.PROCESS)
    client = house.client("researcher")
    assert b"dew" not in client.get(address("recording", recording)).content
    for name, *more in (("transcript-versions",), ("transcript-file", "vtt")):
        assert client.get(address(f"recording-{name}", recording, *more)).status_code == 403
    assert (
        client.post(address("recording-transcript", recording), form("save", FIRST)).status_code
        == 403
    )


def test_a_model_is_asked_for_on_the_page(house: House, recording, settings, tmp_path):
    client = house.client("researcher")
    url = address("recording-transcript-make", recording)
    assert "No speech model is set up here" in text_of(client.post(url))
    settings.WAVER_SPEECH_MODEL = str(tmp_path)
    assert "Its sound has not been looked at yet" in text_of(client.post(url))
    assert not Job.objects.filter(name="recordings.transcribe").exists()


def test_a_rater_who_has_not_submitted_may_not_read_along(house: House, recording):
    """A researcher who also rates sees no transcript page of a clip that waits for them."""
    keep(recording)
    rater = house.people["annotator"]
    Membership.objects.create(study=house.study, user=rater, role=Membership.Role.RESEARCHER)
    AssignmentFactory(recording=recording, rater=rater, state=Assignment.State.SENT)
    client = house.client("annotator")
    for name, *more in (("transcript-versions",), ("transcript-file", "vtt")):
        assert client.get(address(f"recording-{name}", recording, *more)).status_code == 403
