"""The running pair of servers, and a scene that lasts for one test file."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.labelstudio.running import Running, running, stop
from tests.labelstudio.scene import Scene, scene


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    """Thousands of probes, and a line for each would hide what failed."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("django.request").setLevel(logging.ERROR)


@pytest.fixture(scope="session")
def committed_database(django_db_setup, django_db_blocker) -> Iterator[None]:
    """A test database for tests that really commit; pytest-django makes one only for its mark."""
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    if str(connection.settings_dict["NAME"]).startswith("test_"):
        yield
        return
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"})
        yield
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def pair(request, committed_database, django_db_blocker) -> Iterator[Running]:
    with django_db_blocker.unblock():
        yield running(request.config)
        stop()


@pytest.fixture(scope="module")
def stage(request, pair, django_db_blocker, tmp_path_factory) -> Iterator[Scene]:
    """Rows are really committed, so that the servers see them, and removed after the file."""
    from django.conf import settings

    with (
        django_db_blocker.unblock(),
        scene(pair, tmp_path_factory.mktemp("scene"), settings) as made,
    ):
        yield made
