"""Every benchmark, by name. A new one is a module with a SUBJECT and a line here."""

from __future__ import annotations

from bench import agreement, demo, faces, hour, labelstudio, memory, occlusion, stack
from bench.subject import Subject

SUBJECTS: tuple[Subject, ...] = (
    agreement.SUBJECT,
    faces.SUBJECT,
    memory.SUBJECT,
    occlusion.SUBJECT,
    hour.SUBJECT,
    stack.SUBJECT,
    labelstudio.SUBJECT,
    demo.SUBJECT,
)


def choose(names: list[str]) -> list[Subject]:
    """The subjects of these names, or all that are not only measured by name.

    Raises ValueError with a sentence for a name that is not registered.
    """
    by_name = {subject.name: subject for subject in SUBJECTS}
    for name in names:
        if name not in by_name:
            known = ", ".join(by_name)
            raise ValueError(f"There is no benchmark called {name!r}; there are {known}.")
    if names:
        return [by_name[name] for name in dict.fromkeys(names)]
    return [subject for subject in SUBJECTS if not subject.only_by_name]
