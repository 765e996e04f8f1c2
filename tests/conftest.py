"""What every test stands on: a throw-away PostgreSQL, and honest skips.

The cluster is started once, by the controlling process, before Django reads its settings, and is
removed with everything in it when the tests end.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STRICT = os.environ.get("STRICT") == "1"
_CLUSTER = pytest.StashKey()


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the cluster once, and point Django at it in every process."""
    if not _is_worker(config) and not os.environ.get("WAVER_PGHOST"):
        from waver.stack.postgres import temporary_cluster

        folder = Path(tempfile.mkdtemp(prefix="waver-tests-"))
        cluster = temporary_cluster(folder / "pg")
        cluster.create_database("waver")
        os.environ["WAVER_PGHOST"] = str(cluster.socket_dir)
        os.environ["WAVER_TEST_VAR"] = str(folder)
        config.stash[_CLUSTER] = (cluster, folder)

    from django.conf import settings

    settings.DATABASES["default"]["HOST"] = os.environ["WAVER_PGHOST"]


def pytest_unconfigure(config: pytest.Config) -> None:
    if _CLUSTER in config.stash:
        cluster, folder = config.stash[_CLUSTER]
        cluster.destroy()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Turn every skip into a failure when STRICT=1: a green run then means that all of it ran."""
    report = yield
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"STRICT=1 allows no skip, and this test skipped: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Give the folder of real recordings that lies beside the checkout."""
    return _shared("media", "the sample recordings")


@pytest.fixture(scope="session")
def shared_facts() -> Path:
    """Give the folder of published figures that lies beside the checkout."""
    return _shared("facts", "the published figures")


def _shared(name: str, what: str) -> Path:
    folder = ROOT.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"../shared/{name} is absent: put {what} beside the checkout to run this test.")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Give the path of Debian's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is absent: install Debian's package `chromium` to run this test.")
    return path


@pytest.fixture
def storage_folder(settings, tmp_path: Path) -> Path:
    """Give every test that stores bytes a storage of its own."""
    settings.WAVER_STORAGE = {"backend": "folder", "folder": tmp_path / "storage"}
    settings.WAVER_SCRATCH = tmp_path / "scratch"
    settings.WAVER_RELEASES = tmp_path / "releases"
    return tmp_path / "storage"
