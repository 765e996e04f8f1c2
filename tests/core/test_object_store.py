from __future__ import annotations

import pytest

from waver.core import storage

KEYS = {"access_key": "key", "secret_key": "secret"}


@pytest.fixture
def object_store(settings, tmp_path):
    """Run a local server that speaks S3, and point the storage at a bucket in it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings.WAVER_STORAGE = {
        "backend": "object_store", "endpoint": f"http://{host}:{port}", "bucket": "waver", **KEYS,
    }  # fmt: skip
    settings.WAVER_SCRATCH = tmp_path / "scratch"
    yield
    server.stop()


@pytest.mark.programs
@pytest.mark.django_db
def test_an_object_store_keeps_the_same_contract_as_a_folder(object_store, tmp_path):
    source = tmp_path / "source"
    data = bytes(range(256)) * 9000
    source.write_bytes(data)
    blob = storage.acquire(storage.put(source))
    assert b"".join(storage.open_range(blob)) == data
    assert b"".join(storage.open_range(blob, start=5, length=10)) == data[5:15]
    assert b"".join(storage.open_range(blob, start=len(data))) == b""
    with storage.materialise(blob, suffix=".mp4") as path:
        assert path.read_bytes() == data
    storage.release(blob)
    assert storage.verify_absent(blob)
