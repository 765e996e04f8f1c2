"""SVG without a picture library: a sheet to draw on, escaped, in the page's colours or its own.

Drawn for a page, a picture takes its colours from the style sheet's tokens and so follows the
theme. Drawn to be downloaded (`alone`), it carries a white sheet, plain colours, its title, what is
counted and where the numbers come from, and no scripts, links or styles: any viewer shows it alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

# The light theme's tokens; a test holds them equal to the style sheet's.
COLOURS = {
    "surface": "#ffffff",
    "sunken": "#f2f3f2",
    "line": "#dfe1e0",
    "line-strong": "#8a9190",
    "ink": "#1b1f22",
    "ink-soft": "#565e63",
    "accent": "#1f57b8",
    "good": "#1a7a48",
    "wait": "#55677d",
    "attention": "#8f5e00",
    "bad": "#b9322a",
}
SMALL, BODY, TITLE = 12, 14, 18
_MARGIN = 24
_LINE = 18
_FULL = 1000
_HEX = re.compile("#[0-9a-fA-F]{6}")
_NEITHER = "#7a858f"  # middle grey, 3 to 1 on both themes, for what is no colour
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Caption:
    """What a picture says of itself: `lines` under the title, `source` at the foot.

    The lines name axis, unit and n; the source names study, snapshot, gate run and date.
    """

    title: str
    lines: Sequence[str] = ()
    source: str = ""


@dataclass
class Drawing:
    """A sheet `width` CSS pixels wide. Colours are names of tokens, or `#rrggbb`."""

    width: float
    caption: Caption
    alone: bool = False
    _parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = BODY,
        colour: str = "ink",
        anchor: str = "start",
        within: float | None = None,
        bold: bool = False,
    ) -> None:
        """Write words with their baseline at y; cut to `within` pixels, the whole in a title."""
        shown = words if within is None else shorten(words, within, size)
        whole = f"<title>{clean(words)}</title>" if shown != words else ""
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" text-anchor="{anchor}"{weight} '
            f'fill="{self.colour(colour)}">{whole}{clean(shown)}</text>'
        )

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "",
        line: str = "",
        opacity: float = 1.0,
        thick: float = 1.0,
        dashes: str = "",
        title: str = "",
        data: dict[str, str] | None = None,
    ) -> None:
        """Draw a box; `title` is read when pointing at it, `data` are its values for machines."""
        paint = f'fill="{self.colour(fill)}"' if fill else 'fill="none"'
        if opacity != 1.0:
            paint += f' fill-opacity="{_n(opacity, 3)}"'
        if line:
            paint += f' stroke="{self.colour(line)}" stroke-width="{_n(thick)}"'
        if dashes:
            paint += f' stroke-dasharray="{dashes}"'
        values = "".join(f" data-{k}={_attribute(v)}" for k, v in (data or {}).items())
        box = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        inside = f"><title>{clean(title)}</title></rect>" if title else "/>"
        self._parts.append(f"<rect {box} {paint}{values}{inside}")

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        *,
        colour: str = "line",
        thick: float = 1.0,
        dashes: str = "",
    ) -> None:
        """Draw a straight line."""
        extra = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(
            f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" '
            f'stroke="{self.colour(colour)}" stroke-width="{_n(thick)}"{extra}/>'
        )

    def path(self, steps: str, *, fill: str = "", line: str = "", thick: float = 1.0) -> None:
        """Draw a path given in SVG's own commands."""
        paint = f'fill="{self.colour(fill)}"' if fill else 'fill="none"'
        if line:
            paint += f' stroke="{self.colour(line)}" stroke-width="{_n(thick)}"'
        self._parts.append(f'<path d="{steps}" {paint}/>')

    def hatch(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        colour: str = "line-strong",
        every: float = 7,
    ) -> None:
        """Fill a box with slanted lines: what colour says, said without colour."""
        steps = []
        for n in range(1, int((width + height) / every) + 1):
            far = n * every
            left = (x + max(0.0, far - height), y + min(far, height))
            right = (x + min(far, width), y + max(0.0, far - width))
            steps.append(f"M{_n(left[0])} {_n(left[1])}L{_n(right[0])} {_n(right[1])}")
        if steps:
            self.path("".join(steps), line=colour)

    def shape(self, kind: str, x: float, y: float) -> None:
        """Draw the shape of a state: disc good, triangle attention, square bad, ring waiting."""
        if kind == "attention":
            self.path(f"M{_n(x)} {_n(y - 7)}l7 13h-14Z", fill=kind)
        elif kind == "bad":
            self.rect(x - 6, y - 6, 12, 12, fill=kind)
        else:
            paint = 'fill="{}"' if kind == "good" else 'fill="none" stroke="{}" stroke-width="2.5"'
            colour = self.colour(kind)
            self._parts.append(
                f'<circle cx="{_n(x)}" cy="{_n(y)}" r="5.5" {paint.format(colour)}/>'
            )

    @contextmanager
    def link(self, url: str, title: str = "") -> Iterator[None]:
        """Make what is drawn inside lead somewhere; a downloaded picture has no links."""
        if self.alone or not url:
            yield
            return
        self._parts.append(f"<a href={_attribute(url)}>")
        if title:
            self._parts.append(f"<title>{clean(title)}</title>")
        yield
        self._parts.append("</a>")

    def colour(self, name: str) -> str:
        """Give a colour as this drawing writes it."""
        if name.startswith("#"):
            return name if _HEX.fullmatch(name) else _NEITHER
        return COLOURS[name] if self.alone else f"var(--{name})"

    def svg(self, height: float) -> str:
        """Finish: the drawing is `height` pixels high, title and source not counted."""
        if not self.alone:
            # A wide picture fills its place on the page; a smaller one keeps its size.
            own = f'class="plot-own" width="{_n(self.width)}" '
            extra = 'class="plot" ' if self.width >= _FULL else own
            return self._wrapped(self.width, height, "".join(self._parts), extra)
        head, foot = _head(self.caption, self.width), _foot(self.caption, self.width)
        top = _MARGIN + sum(step for _, _, step in head)
        whole = top + height + _MARGIN + _LINE * len(foot)
        sheet = Drawing(self.width + 2 * _MARGIN, self.caption, alone=True)
        sheet.rect(0, 0, sheet.width, whole, fill="surface")
        y: float = _MARGIN
        for words, size, step in head:
            soft = "ink" if size == TITLE else "ink-soft"
            sheet.text(_MARGIN, y + size, words, size=size, colour=soft, bold=size == TITLE)
            y += step
        body = f'<g transform="translate({_MARGIN} {_n(top)})">{"".join(self._parts)}</g>'
        for n, words in enumerate(foot):
            y = top + height + _LINE * (n + 1)
            sheet.text(_MARGIN, y, words, size=SMALL, colour="ink-soft")
        inside = "".join([sheet._parts[0], *sheet._parts[1:], body])
        return self._wrapped(sheet.width, whole, inside, f'width="{_n(sheet.width)}" ')

    def _wrapped(self, width: float, height: float, inside: str, extra: str) -> str:
        about = f"{self.caption.title}. {' '.join(self.caption.lines)}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {extra}'
            f'viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-label={_attribute(about)} '
            'font-family="system-ui, -apple-system, &quot;Segoe UI&quot;, Roboto, sans-serif">'
            f"<title>{clean(self.caption.title)}</title>{inside}</svg>"
        )


def clean(words: str) -> str:
    """Escape words for XML, without the characters that XML cannot hold."""
    return escape(_NOT_IN_XML.sub("", words))


def shorten(words: str, width: float, size: int) -> str:
    """Cut words to what fits into `width` pixels, by the usual width of letters."""
    most = max(1, int(width / (size * 0.54)))
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


def number(value: float, places: int = 2) -> str:
    """Write a number with a true minus sign, and never a negative zero."""
    rounded = round(value, places) + 0.0
    return f"{rounded:.{places}f}".replace("-", "−")


def _head(caption: Caption, width: float) -> list[tuple[str, int, float]]:
    lines = [(part, SMALL, float(_LINE)) for line in caption.lines for part in _wrap(line, width)]
    return [(caption.title, TITLE, 28.0), *lines, ("", SMALL, 12.0)]


def _foot(caption: Caption, width: float) -> list[str]:
    return _wrap(caption.source, width) if caption.source else []


def _wrap(words: str, width: float) -> list[str]:
    import textwrap

    wide = max(20, int(width / (SMALL * 0.54)))
    # Not at hyphens: a look's key must stand in one piece to be searched for.
    return textwrap.wrap(words, wide, break_on_hyphens=False) or [""]


def _attribute(words: str) -> str:
    return quoteattr(_NOT_IN_XML.sub("", words))


def _n(value: float, places: int = 1) -> str:
    rounded = round(value, places)
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)
