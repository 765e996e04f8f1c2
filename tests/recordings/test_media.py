from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import AssetFactory, RecordingFactory, consented_participant
from waver.consent import services as consent
from waver.core import storage
from waver.core.errors import ConsentRefused, Missing
from waver.core.models import AuditEntry
from waver.recordings import media

DATA = bytes(range(200))


@pytest.fixture
def asset(db, storage_folder):
    return AssetFactory(data=DATA, recording=RecordingFactory(participant=consented_participant()))


def served(asset, header):
    answer = media.serve(asset, header, actor="tests", purpose="annotate")
    return answer.status, answer.headers, b"".join(answer.body)


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-", 0, 200),
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=190-999", 190, 200),
        ("bytes=-5", 195, 200),
        ("bytes=-999", 0, 200),
        ("bytes = 3 - 4", 3, 5),
    ],
)
def test_one_range_gives_exactly_these_bytes(asset, header, start, stop):
    status, headers, body = served(asset, header)
    assert status == 206
    assert body == DATA[start:stop]
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/200"
    assert headers["Content-Length"] == str(stop - start)
    assert "no-store" in headers["Cache-Control"]


@pytest.mark.parametrize("header", [None, "", "bytes=", "lines=1-2", "bytes=5-2", "bytes=0-1,4-5"])
def test_what_is_no_single_range_gives_the_whole(asset, header):
    status, headers, body = served(asset, header)
    assert (status, body) == (200, DATA)
    assert headers["Accept-Ranges"] == "bytes"
    assert "Content-Range" not in headers


@pytest.mark.parametrize("header", ["bytes=200-", "bytes=500-600", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_satisfied(asset, header):
    status, headers, body = served(asset, header)
    assert (status, body) == (416, b"")
    assert headers["Content-Range"] == "bytes */200"


@pytest.mark.parametrize("header", ["bytes={}-", "bytes=0-{}", "bytes=-{}", "bytes=٣-٥"])
def test_a_range_that_is_no_number_of_ours_is_not_understood(header):
    assert media.parse_range(header.format("9" * 5000), size=200) is None


@given(size=st.integers(0, 50), first=st.integers(0, 60), last=st.none() | st.integers(0, 60))
def test_a_range_never_leaves_the_asset(size, first, last):
    header = f"bytes={first}-{'' if last is None else last}"
    try:
        wanted = media.parse_range(header, size=size)
    except media._NotSatisfiable:
        assert first >= size
        return
    if wanted is None:
        assert last is not None
        assert last < first
    else:
        assert wanted == range(first, min(size, size if last is None else last + 1))


def test_consent_is_asked_for_every_request(asset):
    assert served(asset, "bytes=0-1")[0] == 206
    consent.withdraw(participant=asset.recording.participant, purpose="annotate", actor="tests")
    with pytest.raises(ConsentRefused, match="withdrew"):
        served(asset, "bytes=2-3")
    assert AuditEntry.objects.get(verb="consent.refused").detail["asset"] == str(asset.pk)
    assert media.serve(asset, None, actor="tests", purpose="process").status == 200


def test_erased_bytes_are_missing(asset):
    storage.erase(asset.blob)
    asset.refresh_from_db()
    with pytest.raises(Missing, match="erased"):
        served(asset, None)
