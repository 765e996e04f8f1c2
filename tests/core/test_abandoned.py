"""What a killed process leaves behind is removed; what a living one uses is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from waver.core import abandoned, storage
from waver.core.errors import TemporaryProblem

_HOLD = """
import sys; from pathlib import Path; from waver.core import abandoned
here = Path(sys.argv[1])
with abandoned.new_folder(here, prefix="work-") as folder, abandoned.new_file(here, prefix="d-"):
    (folder / "half").write_text("half")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_only_what_nobody_holds_is_removed(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, tmp_path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert abandoned.remove_abandoned(tmp_path) == 0
        assert len(list(tmp_path.iterdir())) == 2
        other.send_signal(signal.SIGKILL)
        other.wait()
    with abandoned.new_folder(tmp_path, prefix="mine-") as mine:
        assert abandoned.remove_abandoned(tmp_path) == 2
        assert list(tmp_path.iterdir()) == [mine]
    assert list(tmp_path.iterdir()) == []
    assert abandoned.remove_abandoned(tmp_path / "not there") == 0


@pytest.mark.django_db
def test_a_storage_without_room_says_so_and_keeps_no_half(
    storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = tmp_path / "source"
    source.write_bytes(b"x" * 2_000_000)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TemporaryProblem, match=r"no room for another 2 MB"):
        storage.put(source)
    assert [path for path in storage_folder.rglob("*") if path.is_file()] == []
