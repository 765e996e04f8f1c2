from __future__ import annotations

import pytest
from django.db import IntegrityError, InternalError, connection, transaction

from waver.core import audit, storage
from waver.core.errors import Missing
from waver.core.models import AuditEntry, Blob

pytestmark = pytest.mark.django_db


def _stored(tmp_path, data: bytes) -> Blob:
    source = tmp_path / "source"
    source.write_bytes(data)
    return storage.acquire(storage.put(source))


def test_bytes_come_back_whole_and_by_range(storage_folder, tmp_path):
    data = bytes(range(256)) * 5000
    blob = _stored(tmp_path, data)
    assert b"".join(storage.open_range(blob)) == data
    assert b"".join(storage.open_range(blob, start=1000, length=77)) == data[1000:1077]
    assert b"".join(storage.open_range(blob, start=len(data) - 3, length=99)) == data[-3:]
    with storage.materialise(blob, suffix=".bin") as path:
        assert path.read_bytes() == data
        assert [p.name for p in path.parent.iterdir()] == ["input.bin"]
    assert not path.exists()


def test_the_same_bytes_are_stored_once_and_erased_with_the_last_reference(
    storage_folder, tmp_path
):
    first = _stored(tmp_path, b"same")
    second = _stored(tmp_path, b"same")
    assert first.pk == second.pk
    assert second.references == 2
    storage.release(first)
    assert b"".join(storage.open_range(first)) == b"same"
    storage.release(first)
    assert storage.verify_absent(first)
    with pytest.raises(Missing, match="erased"):
        storage.open_range(first)


def test_the_audit_chain_notices_a_changed_entry(db):
    for number in range(3):
        audit.record(actor="test", verb="did", object_kind="thing", object_id=number)
    assert audit.first_broken() is None
    second = AuditEntry.objects.order_by("seq")[1]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_auditentry DISABLE TRIGGER append_only")
        cursor.execute("UPDATE core_auditentry SET actor='x' WHERE seq=%s", [second.seq])
        cursor.execute("ALTER TABLE core_auditentry ENABLE TRIGGER append_only")
    broken = audit.first_broken()
    assert broken is not None
    assert broken.seq == second.seq


def test_the_database_refuses_to_change_or_delete_an_audit_entry(db):
    entry = audit.record(actor="test", verb="did", object_kind="thing", object_id=1)
    for statement in ("UPDATE core_auditentry SET actor='x'", "DELETE FROM core_auditentry"):
        with (
            pytest.raises((InternalError, IntegrityError), match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    assert AuditEntry.objects.filter(pk=entry.pk, actor="test").exists()
