"""The labelling interface that a codebook asks for, as Label Studio's XML.

A clip pass shows the video and its questions. A segment pass shows the video with the waveform
below it, moved together; segments are drawn on the waveform, which counts in seconds, so that no
frame number is involved (every proxy has a sound track). Questions about a segment appear when it
is selected.

The task's data hold one thing, `video`: an opaque address. File name, prompt, participant and
expected response are not in the interface because they are not in the task.
"""

from __future__ import annotations

from html import escape
from xml.etree import ElementTree as Xml

from annotation.codebooks.model import Codebook, Pass, Question, Value

VIDEO, AUDIO, SEGMENT = "video", "audio", "segment"
"""Names of the interface's parts; a result names the part that it comes from and belongs to."""


def target(part: Pass) -> str:
    """What the answers of a pass are attached to: the name of the media part."""
    return AUDIO if part.unit == "segment" else VIDEO


def control_name(question: Question) -> str:
    """The question's name in the interface and in results: its id, unless a part is called so."""
    return f"{question.id}_question" if question.id in (VIDEO, AUDIO, SEGMENT) else question.id


def label_config(codebook: Codebook, pass_id: str) -> str:
    """Label Studio's XML for one pass. Raises KeyError for a pass that the codebook lacks."""
    part = codebook.pass_(pass_id)
    view = Xml.Element("View")
    Xml.SubElement(view, "Header", value=part.title)
    # Low enough for the questions to stay in sight below the picture.
    height = "340" if part.unit == "segment" else "440"
    Xml.SubElement(view, "Video", name=VIDEO, value="$video", sync="media", height=height)
    if part.unit == "segment":
        _add_timeline(view, part)
    for question in part.questions:
        _add_question(view, part, question)
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode")


def instructions(codebook: Codebook, pass_id: str) -> str:
    """The pass's instructions, labels and examples as HTML for the rater."""
    part = codebook.pass_(pass_id)
    lines = [f"<h2>{escape(part.title)}</h2>"]
    lines += [f"<p>{escape(text)}</p>" for text in part.instructions.split("\n\n")]
    if part.labels:
        lines.append("<dl>")
        for label in part.labels:
            lines.append(f"<dt>{escape(label.title)}</dt><dd>{escape(label.hint)}</dd>")
        lines.append("</dl>")
    for question in part.questions:
        lines.append(f"<h3>{escape(question.title)}</h3>")
        if question.hint:
            lines.append(f"<p>{escape(question.hint)}</p>")
        hinted = [value for value in question.values if value.hint]
        if hinted:
            rows = "".join(f"<li>{escape(v.title)}: {escape(v.hint)}</li>" for v in hinted)
            lines.append(f"<ul>{rows}</ul>")
    for example in part.examples:
        lines.append(f"<h3>{escape(example.title)}</h3><p>{escape(example.text)}</p>")
    return "\n".join(lines)


def _add_timeline(view: Xml.Element, part: Pass) -> None:
    labels = Xml.SubElement(view, "Labels", name=SEGMENT, toName=AUDIO, choice="single")
    for label in part.labels:
        attributes = _shown(label)
        attributes["background"] = label.colour
        Xml.SubElement(labels, "Label", attributes)
    Xml.SubElement(
        view, "Audio", name=AUDIO, value="$video", sync="media", height="120",
        zoom="true", speed="true", volume="true", hotkey="space",
    )  # fmt: skip


def _add_question(view: Xml.Element, part: Pass, question: Question) -> None:
    per_segment = {"perRegion": "true"} if part.unit == "segment" else {}
    box = Xml.SubElement(view, "View", {"visibleWhen": "region-selected"} if per_segment else {})
    title = question.title if question.required else f"{question.title} (if any)"
    Xml.SubElement(box, "Header", value=title, size="5")
    if question.hint:
        Xml.SubElement(box, "Header", value=question.hint, size="6")
    common = {"name": control_name(question), "toName": target(part), **per_segment}
    if question.required:
        common["required"] = "true"
        common["requiredMessage"] = f"Please answer: {question.title}"
    if question.kind == "text":
        Xml.SubElement(box, "TextArea", {**common, "rows": "2", "maxSubmissions": "1"})
        return
    choice = "multiple" if question.kind == "multiple" else "single-radio"
    choices = Xml.SubElement(box, "Choices", {**common, "choice": choice, "showInline": "true"})
    for value in question.values:
        Xml.SubElement(choices, "Choice", _shown(value))


def _shown(value: Value) -> dict[str, str]:
    """The title is what raters see, the alias (the id) is what comes back."""
    attributes = {"value": value.title, "alias": value.id}
    if value.hint:
        attributes["hint"] = value.hint
    if value.hotkey:
        attributes["hotkey"] = value.hotkey
    return attributes
