"""Who is recorded when, saying what, with which pauses and head turns: all from one seed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: What a recording is planted with. Only a pause together with a head turn counts as hesitation;
#: the others are there so that neither cue alone gives the label away.
KINDS = ("hesitant", "fluent", "pause", "hesitant", "head_turn")

_FIRST_DAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
# Variants without breath: espeak-ng draws its noise by the wall clock, so that it never repeats.
_VOICES = (
    *("f1", "m1", "linda", "m3", "belinda", "m7"),
    *("f4", "m2", "steph", "m4", "Annie", "m8"),
)

_OPENINGS = (
    "I think about taking the train every morning",
    "Most evenings I cook something simple",
    "My doctor told me to walk more",
    "I wanted to stop smoking last year",
    "We talked about moving to the coast",
    "I keep my phone next to my bed",
    "There is a gym close to my office",
    "I drink less coffee than I used to",
)
_ENDINGS = (
    "and I might start again next week.",
    "but my family would rather stay here.",
    "and so far it has worked for me.",
    "because it saves a lot of money.",
    "and some days it is really hard.",
    "but I am not sure it helps.",
    "and I would do it all again.",
    "because my friends do the same.",
)


@dataclass(frozen=True, slots=True)
class Look:
    """How a participant looks and sounds: colours, framing, mirror image, backdrop, voice.

    `gains` multiply blue, green and red; `centre` and `view_width` frame the photograph in its own
    pixels; `pitch` and `words_per_minute` go to the synthesiser.
    """

    gains: tuple[float, float, float]
    gamma: float
    mirrored: bool
    centre: tuple[float, float]
    view_width: float
    backdrop: tuple[int, int, int]
    voice: str
    pitch: int
    words_per_minute: int


@dataclass(frozen=True, slots=True)
class RecordingPlan:
    """One recording to make. Seconds are seconds, `yaw` is degrees; 0 where nothing is planted.

    `turn_offset_seconds` is where the head turn begins, after the end of the first sentence.
    """

    file: str
    participant: str
    prompt: int
    recorded_at: datetime
    kind: str
    look: Look
    opening: str
    ending: str
    gap_seconds: float
    yaw: float
    turn_offset_seconds: float
    turn_seconds: float
    seed: int

    @property
    def pauses(self) -> bool:
        """Whether the gap between the sentences is a planted pause."""
        return self.kind in ("hesitant", "pause")

    @property
    def turns(self) -> bool:
        """Whether a head turn is planted."""
        return self.kind in ("hesitant", "head_turn")


def plan_recordings(*, participants: int, seed: int) -> tuple[RecordingPlan, ...]:
    """Plan one recording for each participant and a second for every third; 16 for 12.

    The same numbers always give the same plan. Raises ValueError for fewer than one participant.
    """
    if participants < 1:
        raise ValueError(f"{participants} participants cannot be recorded; ask for 1 or more.")
    chance = random.Random(seed)  # noqa: S311 - a reproducible plan, no secret
    looks = [_look(number, chance) for number in range(participants)]
    takes = [(number, 1) for number in range(participants)]
    takes += [(number, 2) for number in range(participants) if number % 3 == 0]
    takes.sort()
    return tuple(
        _recording(position, number, prompt, looks[number], chance)
        for position, (number, prompt) in enumerate(takes)
    )


def _look(number: int, chance: random.Random) -> Look:
    return Look(
        gains=(chance.uniform(0.78, 1.12), chance.uniform(0.86, 1.06), chance.uniform(0.8, 1.1)),
        gamma=chance.uniform(0.8, 1.25),
        mirrored=number % 2 == 1,
        centre=(224 + chance.uniform(-14, 14), 128 + chance.uniform(-6, 10)),
        view_width=chance.uniform(225, 300),
        backdrop=(chance.randrange(30, 226), chance.randrange(30, 226), chance.randrange(30, 226)),
        voice=_VOICES[number % len(_VOICES)],
        pitch=chance.randrange(35, 66),
        words_per_minute=chance.randrange(165, 196),
    )


def _recording(
    position: int, number: int, prompt: int, look: Look, chance: random.Random
) -> RecordingPlan:
    kind = KINDS[position % len(KINDS)]
    participant = f"P{number + 1:03d}"
    pauses = kind in ("hesitant", "pause")
    gap = chance.uniform(1.3, 1.8) if pauses else 0.15
    # during a pause the head turns with it; otherwise in the middle of the second sentence
    offset = chance.uniform(0.0, 0.15) if pauses else chance.uniform(0.5, 0.8)
    return RecordingPlan(
        file=f"{participant}_{prompt}.mp4",
        participant=participant,
        prompt=prompt,
        recorded_at=_FIRST_DAY
        + timedelta(days=number + 14 * (prompt - 1), minutes=chance.randrange(0, 420)),
        kind=kind,
        look=look,
        opening=chance.choice(_OPENINGS),
        ending=chance.choice(_ENDINGS),
        gap_seconds=round(gap, 3),
        yaw=math.copysign(chance.uniform(30, 35), chance.random() - 0.5),
        turn_offset_seconds=round(offset, 3),
        turn_seconds=round(chance.uniform(1.2, 1.5), 3),
        seed=chance.randrange(2**31),
    )
