"""The rules of the house, as tests."""

from __future__ import annotations

import ast
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.db.migrations.loader import MigrationLoader

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["platform/waver", "annotation", "workers"]
PURE = [
    "workers/media", "workers/faces", "workers/speech", "workers/prelabel", "workers/samples",
    "workers/signals",
    "annotation/agreement", "annotation/codebooks",
]  # fmt: skip
HEAVY = {"onnxruntime", "onnx", "torch", "cv2", "av", "pyarrow", "scipy", "pandas",
         "label_studio_sdk", "krippendorff", "skimage"}  # fmt: skip


def _modules(folder: str) -> list[Path]:
    return [p for p in (ROOT / folder).rglob("*.py") if "migrations" not in p.parts]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(_tree(path)))


@pytest.fixture(scope="module", autouse=True)
def trees_are_forgotten():
    yield
    for kept in (_tree, _nodes):
        kept.cache_clear()


def _top_level_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in _tree(path).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.programs
def test_platform_stays_the_standard_librarys():
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert platform.system()
    for folder in (ROOT, ROOT / "platform"):
        answer = subprocess.run(
            [sys.executable, "-c", "import platform; print(platform.python_version())"],
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert answer.stdout.strip() == platform.python_version()


@pytest.mark.programs
def test_layers_hold():
    answer = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("package", ["platform/waver", "annotation"])
def test_heavy_libraries_are_imported_inside_functions(package):
    found = {
        str(path.relative_to(ROOT)): heavy
        for path in _modules(package)
        if "labelstudio/server" not in path.as_posix()
        and (heavy := _top_level_imports(path) & HEAVY)
    }
    assert not found


@pytest.mark.programs
def test_the_web_process_loads_no_heavy_library():
    code = (
        "import sys, waver.config.wsgi, waver.config.urls;"
        f"print(sorted(set({sorted(HEAVY)!r}) & sys.modules.keys()))"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "waver.config.settings.test"}
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
        check=False, env=environment,
    )  # fmt: skip
    assert answer.stdout.strip() == "[]", answer.stdout + answer.stderr


def test_the_migration_graph_between_apps_has_no_cycle():
    loader = MigrationLoader(None)
    local = {config.label for config in apps.get_app_configs()}
    edges: dict[str, set[str]] = {label: set() for label in local}
    for (app, _), migration in loader.disk_migrations.items():
        edges.setdefault(app, set()).update(
            needed for needed, _ in migration.dependencies if needed != app
        )
    seen: dict[str, int] = {}

    def visit(app: str, path: tuple[str, ...]) -> None:
        assert app not in path, f"migrations of {' -> '.join((*path, app))} need each other"
        if app not in seen:
            for needed in edges.get(app, ()):
                visit(needed, (*path, app))
            seen[app] = 1

    for app in edges:
        visit(app, ())


@pytest.mark.django_db
def test_models_and_migrations_agree():
    from django.core.management import call_command

    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_every_model_with_personal_data_has_a_holder():
    from waver.core.holders import models_with_holder

    personal = {
        model._meta.label
        for model in apps.get_models()
        if any(
            field.is_relation and field.related_model is not None
            and field.related_model._meta.label in {
                "consent.Participant", "recordings.Recording", "annotation.Annotation",
                "annotation.Segment",
            }
            for field in model._meta.get_fields()
            if getattr(field, "concrete", False) and not field.auto_created
        )
    } | {"consent.Participant"}  # fmt: skip
    assert personal <= models_with_holder(), personal - models_with_holder()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_function_says_what_it_does(package):
    missing = []
    for path in _modules(package):
        if "commands" in path.parts:
            continue
        for node in _nodes(path):
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if isinstance(node, ast.FunctionDef) and public and not ast.get_docstring(node):
                if _is_private(node, path):
                    continue
                missing.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not missing


def _is_private(node: ast.FunctionDef, path: Path) -> bool:
    """What stands inside a function or a private class is private."""
    for parent in _nodes(path):
        private = isinstance(parent, ast.ClassDef) and parent.name.startswith("_")
        if (private or isinstance(parent, ast.FunctionDef)) and any(
            child is not parent and isinstance(child, ast.FunctionDef)
            and (child.name, child.lineno) == (node.name, node.lineno)
            for child in ast.walk(parent)
        ):  # fmt: skip
            return True
    return False


def test_the_repository_names_no_machine_path_and_no_registry():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    forbidden = ["/" + "work/", "pypi" + ".org", "pythonhosted" + ".org", "registry.npm" + "js"]
    found = []
    for name in listed:
        path = ROOT / name
        if path.suffix in {".png", ".jpg", ".ico", ".woff2"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {word}" for word in forbidden if word in text]
    assert not found


#: What may start programs: the stack its own, the demonstration the sample maker and its speech
#: synthesiser; media are converted and read through `process` alone.
STARTS_PROGRAMS = {
    "platform/waver/demo/material.py",
    "platform/waver/stack/client.py",
    "platform/waver/stack/postgres.py",
    "platform/waver/stack/supervised.py",
    "workers/media/guard.py",
    "workers/media/process.py",
    "workers/samples/voice.py",
}
#: What may open media: `inspection` originals, in a process of its own; the others what Waver made.
OPENS_MEDIA = {
    "workers/media/inspection.py",
    "workers/media/encoding.py",
    "workers/media/sound.py",
    "workers/faces/masking.py",
    "workers/faces/video.py",
    "workers/samples/make.py",
}
_LAUNCHERS = ("exec", "spawn", "posix_spawn", "system", "popen", "fork", "startfile")


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        return {node.module.split(".")[0]}
    return set()


def _starts_a_program(node: ast.AST) -> bool:
    if _imported(node) & {"subprocess", "multiprocessing", "pty"}:
        return True
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr.startswith(_LAUNCHERS)
    )


def _opens_media(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    of = node.func.value
    by_av = node.func.attr == "open" and isinstance(of, ast.Name) and of.id == "av"
    return by_av or node.func.attr in {"VideoCapture", "imread"}


def _found(rule) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in _modules(package)
        if "labelstudio/server" not in path.as_posix() and any(rule(node) for node in _nodes(path))
    }


def test_only_a_few_modules_start_programs_and_none_through_a_shell():
    assert _found(_starts_a_program) <= STARTS_PROGRAMS
    assert not _found(lambda node: isinstance(node, ast.keyword) and node.arg == "shell")


def test_only_the_media_package_knows_ffmpeg():
    knows = _found(lambda node: bool(_imported(node) & {"ffmpeg", "imageio_ffmpeg"}))
    assert {Path(name).parent.as_posix() for name in knows} == {"workers/media"}


def test_only_a_few_modules_open_media_and_originals_only_where_hands_are_tied():
    assert _found(_opens_media) <= OPENS_MEDIA
    loads = _found(lambda node: any(
        name == "workers.media.inspection" for name in _whole_names(node)
    ))  # fmt: skip
    # the one lends it our own files, the other is a process of its own too
    assert loads <= {"workers/media/probe.py", "workers/media/depth_reader.py"}


def _whole_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
