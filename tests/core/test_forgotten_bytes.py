"""Bytes never lie about without a row, and never go while somebody takes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest
from django.db import connection, transaction
from django.utils import timezone

from waver.core import storage
from waver.core.errors import IntegrityProblem
from waver.core.models import Blob

pytestmark = pytest.mark.django_db(transaction=True)
_TWO_DAYS = timedelta(days=2)


@pytest.fixture(autouse=True)
def place(storage_folder):
    return storage_folder


def _put(tmp_path, data: bytes = b"bytes") -> storage.Stored:
    source = tmp_path / "source"
    source.write_bytes(data)
    return storage.put(source)


def _put_long_ago(tmp_path) -> storage.Stored:
    stored = _put(tmp_path)
    Blob.objects.update(created_at=timezone.now() - _TWO_DAYS)
    return stored


def test_bytes_of_a_process_killed_before_its_commit_are_erased_after_a_day(tmp_path):
    stored = _put(tmp_path)
    assert storage.remove_forgotten() == 0
    assert storage.backend().exists(stored.sha256)

    Blob.objects.update(created_at=timezone.now() - _TWO_DAYS)
    assert storage.remove_forgotten() == 1
    assert not storage.backend().exists(stored.sha256)
    assert Blob.objects.get().erased_at is not None
    assert storage.remove_forgotten() == 0


def test_bytes_that_were_erased_and_put_again_are_forgotten_too(tmp_path):
    storage.discard(_put(tmp_path))
    stored = _put_long_ago(tmp_path)
    Blob.objects.update(erased_at=timezone.now() - 2 * _TWO_DAYS)
    assert storage.remove_forgotten() == 1
    assert not storage.backend().exists(stored.sha256)


def test_what_somebody_refers_to_or_has_just_put_again_stays(tmp_path):
    stored = _put_long_ago(tmp_path)
    _put(tmp_path)
    assert storage.remove_forgotten() == 0
    storage.acquire(stored)
    Blob.objects.update(created_at=timezone.now() - _TWO_DAYS)
    assert storage.remove_forgotten() == 0
    assert storage.backend().exists(stored.sha256)


def test_what_is_let_go_outlives_a_rollback_and_a_kill_but_not_the_commit(tmp_path, monkeypatch):
    blob = storage.acquire(_put(tmp_path))
    with transaction.atomic():
        storage.let_go(blob)
        transaction.set_rollback(True)
    assert b"".join(storage.open_range(blob)) == b"bytes"

    with monkeypatch.context() as killed, transaction.atomic():
        killed.setattr(transaction, "on_commit", lambda *_args, **_named: None)
        storage.let_go(blob)
    assert not storage.verify_absent(blob)
    Blob.objects.update(created_at=timezone.now() - _TWO_DAYS)
    assert storage.remove_forgotten() == 1

    again = storage.acquire(_put(tmp_path))
    with transaction.atomic():
        storage.let_go(again)
        assert not storage.verify_absent(again)
    assert storage.verify_absent(again)


def test_nobody_takes_bytes_that_are_just_being_released(tmp_path):
    stored = _put(tmp_path)
    blob = storage.acquire(stored)
    begun = Event()

    def take() -> str:
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL application_name = 'taker'")
                begun.set()
                storage.acquire(stored)
        except IntegrityProblem:
            return "refused"
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            # As `release` does it, with the other one coming between its two steps.
            taker, erase = None, storage.erase

            def erase_late(row: Blob) -> None:
                nonlocal taker
                taker = pool.submit(take)
                assert begun.wait(10)
                _wait_until_blocked()
                erase(row)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(storage, "erase", erase_late)
                storage.release(blob)
        assert taker is not None
        assert taker.result(timeout=10) == "refused"
    assert Blob.objects.get().references == 0


def _wait_until_blocked() -> None:
    """Return when the other thread waits for a lock."""
    for _ in range(2000):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_stat_clear_snapshot(), count(*) FROM pg_stat_activity "
                "WHERE application_name = 'taker' AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[1]:
                return
    raise AssertionError("Nobody waits for the bytes.")
