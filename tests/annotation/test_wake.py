"""The webhook's answer: one question, over whatever connection is left, on a call that ends."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection

from annotation.labelstudio.client import webhook_headers
from annotation.models import RemoteProject
from annotation.services import collect
from tests.factories import BatchFactory, UserFactory
from waver.core import dispatch
from waver.core.models import Job


@pytest.mark.django_db(transaction=True)
def test_a_call_over_a_connection_that_has_died_is_answered_over_a_new_one():
    batch = BatchFactory(state="open")
    project = RemoteProject.objects.create(batch=batch, rater=UserFactory(), remote_id=100)
    connection.ensure_connection()
    died = connection.connection.info.backend_pid
    parameters = connection.get_connection_params()
    wanted = ("host", "port", "user", "password", "dbname")
    with psycopg.connect(**{k: v for k, v in parameters.items() if k in wanted}) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [died])
    assert collect.wake(100)
    assert connection.connection.info.backend_pid != died
    assert Job.objects.get().subject_id == str(project.pk)


@pytest.mark.django_db
def test_the_question_is_answered_by_an_index_however_many_jobs_there_were():
    project = RemoteProject.objects.create(
        batch=BatchFactory(state="open"), rater=UserFactory(), remote_id=100
    )
    Job.objects.bulk_create(
        Job(name="x", subject_kind="x", subject_id=str(n), queue="io", key=f"k{n}", state="done")
        for n in range(3000)
    )
    collect.collect_soon(project)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE core_job")
        question = [f"{collect.COLLECT.name}:", 100]
        cursor.execute(f"EXPLAIN {collect._PROJECT_AND_JOB}", question)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "job_key_unique_while_open" in plan
    assert "Seq Scan on core_job" not in plan


def test_label_studio_says_that_it_calls_once_on_each_connection(settings):
    said = webhook_headers()
    assert said["Connection"] == "close"
    assert said["X-Waver-Webhook"] == settings.LABEL_STUDIO_WEBHOOK_SECRET


def test_the_web_server_is_ready_to_call_workers_before_anybody_waits(monkeypatch):
    sent = []
    dispatch.get_ready()
    monkeypatch.setattr(type(dispatch.producer()), "send_task", lambda *a, **k: sent.append(a))
    assert "amqp" in dispatch.producer().__dict__  # what the first call else makes
    assert sent == []
