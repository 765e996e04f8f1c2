"""How values are written on pages: times, sizes, shares and states.

A value that is not there (None, or nothing at all in an older row) is written as a dash.
"""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from waver.accounts.models import User
from waver.core.clock import format_us
from waver.recordings.models import Quality, Recording, SensorChannel
from waver.recordings.quality.catalogue import Figure, value_of
from waver.recordings.quality.rules import without_decision
from waver.website.menu import Item, menu_of
from waver.website.queries import jobs

register = template.Library()

# A state's kind decides its shape and colour; its word is always written beside it.
KINDS = {
    "good": {"ready", "done", "published", "pass", "submitted", "accepted", "closed", "meets"},
    "attention": {
        "attention",
        "held",
        "tentative",
        "undetermined",
        "returned",
        "rejected",
        "waived",
        "falls_short",
    },
    "bad": {"failed", "refused", "fail", "withdrawn", "erased", "cancelled", "stopped"},
}
WORDS = {
    "queued": "Waiting",
    "running": "Running",
    "waiting": "Waiting",
    "done": "Done",
    "failed": "Failed",
    "refused": "Refused",
    "cancelled": "Cancelled",
    "open": "Open",
    "draft": "Draft",
    "publishing": "Being sent",
    "closed": "Closed",
    "building": "Being built",
    "published": "Published",
    "pass": "Pass",
    "tentative": "Tentative",
    "fail": "Blocked",
    "undetermined": "Undetermined",
    "waived": "Waived",
}


WORDS_OF_VERDICTS = {"Pass", "Tentative", "Fail", "Undetermined", "Waived"}


def kind_of(state: str) -> str:
    """Give `good`, `wait`, `attention` or `bad` for a state of any table."""
    for kind, states in KINDS.items():
        if state in states:
            return kind
    return "wait"


@register.filter
def mark(state: str, word: str = "") -> SafeString:
    """Show a state as a shape and a word."""
    text = word or WORDS.get(state, state.replace("_", " ").capitalize())
    return format_html('<span class="mark mark-{}">{}</span>', kind_of(state), text)


@register.filter
def verdict_word(state: str) -> str:
    """Give a state's word alone, where the shape is drawn."""
    return WORDS.get(state, state)


@register.filter
def mark_kind(state: str) -> str:
    """Give the kind of a state, for a class name."""
    return kind_of(state)


@register.filter
def clock(us: Any) -> str:
    """Write a time in a recording: minutes, seconds, milliseconds."""
    return format_us(us) if isinstance(us, int) else "–"


@register.filter
def minutes(us: Any) -> str:
    """Write a duration coarsely: `1:07` for a clip, `2 h 05 min` for a study."""
    if not isinstance(us, int):
        return "–"
    seconds = (us + 500_000) // 1_000_000
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60}:{seconds % 60:02d}"


@register.filter
def file_size(size: Any) -> str:
    """Write bytes as people do: 812 B, 3.4 MB."""
    if not isinstance(size, int):
        return "–"
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


@register.filter
def percent(share: Any) -> str:
    """Write a share of 1 as a percentage."""
    return f"{100 * share:.0f} %" if isinstance(share, int | float) else "–"


@register.filter
def decimals(value: Any, places: int = 2) -> str:
    """Write a number with a fixed number of decimals, or a dash when there is none."""
    return f"{value:.{places}f}".replace("-", "−") if isinstance(value, int | float) else "–"


@register.filter
def sample_rate(channel: SensorChannel) -> str:
    """Write how many samples a second a channel has, as a fraction where no short number does."""
    above, below = channel.rate_numerator, channel.rate_denominator
    if not above or not below:
        return "–"
    short = f"{above / below:.6f}".rstrip("0").rstrip(".")
    return short if Fraction(short) == Fraction(above, below) else f"{above}/{below}"


@register.filter
def plain_number(value: Any) -> str:
    """Write a measured number with at most six digits that count, or a dash when there is none."""
    return f"{value:.6g}".replace("-", "−") if isinstance(value, int | float) else "–"


@register.filter
def thousands(value: Any) -> str:
    """Write a large count with narrow spaces: 19 800."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else "0"


@register.filter
def after_verdict(sentence: str) -> str:
    """Leave out a sentence's first word where the verdict stands beside it already."""
    first, _, rest = sentence.partition(". ")
    return rest if rest and first in WORDS_OF_VERDICTS else sentence


@register.filter
def paragraphs(text: str) -> SafeString:
    """Make a paragraph of each block of lines; single line breaks are only the file's layout."""
    blocks = [" ".join(block.split()) for block in text.split("\n\n")]
    return format_html_join("", "<p>{}</p>", ([block] for block in blocks if block))


@register.filter
def scientific(value: float | None) -> str:
    """Write a tiny number: `0`, `3.1e-16`."""
    return "–" if value is None else f"{value:.2g}"


@register.filter
def spoken(left: timedelta | None) -> str:
    """Write how long something still takes."""
    if left is None:
        return ""
    seconds = int(left.total_seconds())
    if seconds < 60:
        return "less than a minute left"
    if seconds < 3600:
        return f"about {seconds // 60 + 1} min left"
    return f"about {seconds // 3600} h {seconds % 3600 // 60} min left"


@register.filter
def words(value: str) -> str:
    """Write a code name as words: `long_pause` becomes `long pause`."""
    return str(value).replace("_", " ").replace(".", ", ")


@register.filter
def menu(user: User) -> list[Item]:
    """List the menu's entries for somebody."""
    return menu_of(user)


@register.filter
def recording_title(recording: Recording) -> str:
    """Name a recording for researchers: participant and prompt."""
    return jobs.recording_title(recording)


@register.filter
def slug_text(value: Any) -> str:
    """Write an id as the text that a form sends back."""
    return str(value)


@register.filter
def job_title(name: str) -> str:
    """Give the plain words for a job's name."""
    return jobs.title_of(name)


@register.filter
def frame_rate(recording: Recording) -> str:
    """Write a recording's exact rate: `30` or `30000/1001 (29.97)`."""
    rate = recording.rate
    if rate is None:
        return "–"
    if rate.denominator == 1:
        return str(rate.numerator)
    return f"{rate.numerator}/{rate.denominator} ({float(rate):.2f})"


@register.filter
def besides_quality(error: str) -> str:
    """Leave out what the thresholds say, where they are shown by themselves."""
    return without_decision(error)


@register.filter
def quality_mark(quality: Quality) -> SafeString:
    """Show a recording's verdict in a word, with the number of figures that fall short."""
    words = {
        Quality.Verdict.MEETS: "Meets",
        Quality.Verdict.FALLS_SHORT: f"Falls short in {len(quality.reasons)}",
    }
    return mark(quality.verdict, words.get(Quality.Verdict(quality.verdict), "No thresholds"))


@register.filter
def figure(recording: Recording, figure: Figure) -> str:
    """Write a recording's figure of quality, a dash where it is not known."""
    quality = getattr(recording, "quality", None)
    value = None if quality is None else value_of(quality.figures, figure.key)
    return "–" if value is None else figure.write(value)
