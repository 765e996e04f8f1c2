"""The labelling interface that a codebook asks for, as Label Studio's XML.

A clip pass shows the video and its questions. A segment pass shows the video with the waveform
below it, moved together; segments are drawn on the waveform, which counts in seconds, so that no
frame number is involved (every proxy has a sound track). Where the sound says nothing, a pass may
ask for a line of ticks instead. Questions about a segment appear when it is selected; what is asked
about each chosen answer appears when that answer is chosen.

The task's data hold `video`, an opaque address, and for a pass that asks for it `transcript`, what
is said. File name, prompt, participant and expected response are not in the interface because they
are not in the task.
"""

from __future__ import annotations

from html import escape
from xml.etree import ElementTree as Xml

from annotation.codebooks.model import Codebook, Pass, Question, Value

VIDEO, AUDIO, SEGMENT, TRANSCRIPT = "video", "audio", "segment", "transcript"
"""Names of the interface's parts; a result names the part that it comes from and belongs to."""
MOST_IN_A_ROW = 21
"""A rating of more points than this is a slider; up to it, one button for each point.

A slider that was not moved looks like an answer in the middle and is none; buttons cannot mislead.
"""


_SMALL = "font-size: 14px; font-weight: 400; line-height: 1.4; margin: 0"


def target(part: Pass) -> str:
    """What the answers of a pass are attached to: the name of the media part."""
    return AUDIO if part.unit == "segment" and part.timeline == "waveform" else VIDEO


def control_name(question: Question) -> str:
    """The question's name in the interface and in results: its id, unless a part is called so."""
    taken = question.id in (VIDEO, AUDIO, SEGMENT, TRANSCRIPT)
    return f"{question.id}_question" if taken else question.id


def each_name(question: Question, value: str) -> str:
    """The name of what is asked about one chosen answer. No id can hold the colon."""
    return f"{control_name(question)}:{value}"


def is_slider(question: Question) -> bool:
    """Whether a rating is shown as a slider."""
    return question.kind == "rating" and len(question.points) > MOST_IN_A_ROW


def label_config(codebook: Codebook, pass_id: str, *, transcript: bool = False) -> str:
    """Label Studio's XML for one pass. Raises KeyError for a pass that the codebook lacks.

    `transcript` says that the tasks hold what is said; it is shown only if the pass asks for it.
    """
    part = codebook.pass_(pass_id)
    view = Xml.Element("View")
    Xml.SubElement(view, "Header", value=part.title)
    stage = view
    if transcript and part.transcript:
        row = Xml.SubElement(view, "View", style="display: flex; gap: 1em; align-items: flex-start")
        stage = Xml.SubElement(row, "View", style="flex: 3; min-width: 0")
        _add_transcript(Xml.SubElement(row, "View", style="flex: 2; min-width: 0"))
    # Low enough for the questions to stay in sight below the picture.
    height = "340" if part.unit == "segment" else "440"
    video = {"name": VIDEO, "value": "$video", "sync": "media", "height": height}
    if part.unit == "segment" and part.timeline == "ticks":
        video |= {"frameRate": _rate_text(part), "timelineHeight": "96"}
        del video["sync"]
    Xml.SubElement(stage, "Video", video)
    if part.unit == "segment":
        _add_timeline(view, part)
    for question in part.questions:
        _add_question(view, part, question)
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode")


def instructions(codebook: Codebook, pass_id: str) -> str:
    """The pass's instructions, labels, questions and examples as HTML for the rater."""
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
        lines += [f"<p>{escape(text)}</p>" for text in _explained(question)]
        hinted = [value for value in question.values if value.hint]
        if hinted:
            rows = "".join(f"<li>{escape(v.title)}: {escape(v.hint)}</li>" for v in hinted)
            lines.append(f"<ul>{rows}</ul>")
    for example in part.examples:
        lines.append(f"<h3>{escape(example.title)}</h3><p>{escape(example.text)}</p>")
    return "\n".join(lines)


def _explained(question: Question) -> list[str]:
    """What a rater must know of a question besides its title and answers."""
    said = [question.hint] if question.hint else []
    if question.kind == "rating":
        said.append(_ends(question))
    if is_slider(question):
        said.append("Move the slider to answer; as long as you do not, nothing is chosen.")
    if question.kind == "compound":
        said.append(_blend(question))
    if question.each is not None:
        said.append(f"For each answer that you choose: {question.each.title}")
        if question.each.kind == "rating":
            said.append(_ends(question.each))
    return said


def _ends(question: Question) -> str:
    low, high = question.points[0], question.points[-1]
    return (
        f"From {low}{f' ({question.low})' if question.low else ''} "
        f"to {high}{f' ({question.high})' if question.high else ''}."
    )


def _blend(question: Question) -> str:
    if not question.pairs:
        return "Choose one, or the two that blend."
    titles = {value.id: value.title for value in question.values}
    pairs = "; ".join(f"{titles[a]} and {titles[b]}" for a, b in question.allowed_pairs)
    return f"Choose one, or two that blend: {pairs}."


def _rate_text(part: Pass) -> str:
    rate = part.ticks_per_second
    return str(rate.numerator) if rate.denominator == 1 else f"{float(rate):.10g}"


def _add_transcript(box: Xml.Element) -> None:
    Xml.SubElement(box, "Header", value="What is said", size="5")
    Xml.SubElement(box, "Text", name=TRANSCRIPT, value=f"${TRANSCRIPT}")


def _add_timeline(view: Xml.Element, part: Pass) -> None:
    tag = "Labels" if part.timeline == "waveform" else "TimelineLabels"
    labels = Xml.SubElement(view, tag, name=SEGMENT, toName=target(part), choice="single")
    for label in part.labels:
        attributes = _shown(label)
        attributes["background"] = label.colour
        Xml.SubElement(labels, "Label", attributes)
    if part.timeline == "waveform":
        Xml.SubElement(
            view, "Audio", name=AUDIO, value="$video", sync="media", height="120",
            zoom="true", speed="true", volume="true", hotkey="space",
        )  # fmt: skip


def _add_question(view: Xml.Element, part: Pass, question: Question) -> None:
    per_segment = {"perRegion": "true"} if part.unit == "segment" else {}
    box = Xml.SubElement(view, "View", {"visibleWhen": "region-selected"} if per_segment else {})
    title = question.title if question.required else f"{question.title} (if any)"
    Xml.SubElement(box, "Header", value=title, size="5")
    for text in _explained(question):
        Xml.SubElement(box, "Header", value=text, size="6", style=_SMALL)
    common = {"name": control_name(question), "toName": target(part), **per_segment}
    _add_control(box, question, common)
    if question.each is None:
        return
    for value in question.values:
        shown = {
            "visibleWhen": "choice-selected",
            "whenTagName": control_name(question),
            "whenChoiceValue": value.title,
        }
        inner = Xml.SubElement(box, "View", shown)
        Xml.SubElement(
            inner, "Header", value=f"{value.title}: {question.each.title}", size="6", style=_SMALL
        )
        common = {"name": each_name(question, value.id), "toName": target(part), **per_segment}
        # Of a segment, Label Studio would ask for the hidden ones too: Waver checks those itself.
        _add_control(inner, question.each, common, ask=not per_segment)


def _add_control(
    box: Xml.Element, question: Question, common: dict[str, str], *, ask: bool = True
) -> None:
    if question.required and ask:
        common["required"] = "true"
        common["requiredMessage"] = f"Please answer: {question.title}"
    if question.kind == "text":
        rows = "3" if question.role == "description" else "2"
        Xml.SubElement(box, "TextArea", {**common, "rows": rows, "maxSubmissions": "1"})
        return
    if is_slider(question):
        bounds = {"min": question.minimum, "max": question.maximum, "step": question.step}
        numbers = {name: f"{bound:f}" for name, bound in bounds.items()}
        Xml.SubElement(box, "Number", {**common, **numbers, "slider": "true"})
        return
    several = question.kind in ("multiple", "compound")
    choice = "multiple" if several else "single-radio"
    choices = Xml.SubElement(box, "Choices", {**common, "choice": choice, "showInline": "true"})
    for value in question.values or tuple(Value(point, point) for point in question.points):
        Xml.SubElement(choices, "Choice", _shown(value))


def _shown(value: Value) -> dict[str, str]:
    """The title is what raters see, the alias (the id) is what comes back."""
    attributes = {"value": value.title, "alias": value.id}
    if value.hint:
        attributes["hint"] = value.hint
    if value.hotkey:
        attributes["hotkey"] = value.hotkey
    return attributes
