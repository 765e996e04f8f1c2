from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories import RECORDED_AT, PromptFactory, StudyFactory, consented_participant
from tests.recordings.clips import face_clip
from waver.recordings import services
from waver.recordings.models import Recording
from workers import tasks as tasks  # registers the handlers


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def stack(storage_folder: Path, models_folder: Path, settings) -> Path:
    """Give what a worker needs: a storage of its own and a place for models."""
    settings.WAVER_MODELS = models_folder
    return storage_folder


@pytest.fixture(scope="session")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return face_clip(tmp_path_factory.mktemp("clips") / "face.mp4")


@pytest.fixture
def study(db):
    made = StudyFactory(code="s", title="Hesitation")
    PromptFactory(study=made, order=1)
    return made


@pytest.fixture
def receive(study, stack):
    """Take in a file for a participant who agreed to everything."""

    def take_in(source: Path, *, code: str = "P1", **changes) -> Recording:
        if not study.participants.filter(code=code).exists():
            consented_participant(study, code=code)
        return services.receive(
            **{
                "study": study,
                "source": source,
                "original_name": source.name,
                "participant_code": code,
                "prompt_order": 1,
                "recorded_at": RECORDED_AT,
                "actor": "tests",
                **changes,
            }
        )

    return take_in


def stored_bytes(folder: Path) -> set[str]:
    """Give the names (hashes) of all files in a storage folder."""
    return {path.name for path in folder.rglob("*") if path.is_file()}
