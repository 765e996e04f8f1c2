"""Reading sensor recordings: borrow the original, call the pure part, hand back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waver.core import storage
from waver.core.errors import BadInput
from waver.core.jobs import JobRun
from waver.recordings import jobs, pipeline, takes
from waver.recordings.findings import ChannelRead, Findings
from waver.recordings.models import Asset
from waver.recordings.pipeline import MadeFile, Outcome
from workers.runner import handles

if TYPE_CHECKING:
    from workers.signals.extract import Signals
    from workers.signals.store import Summary

_Kind = Asset.Kind


@handles(jobs.SIGNALS, on_failure=pipeline.ended_badly)
def signals(run: JobRun) -> None:
    """Read every sample of a sensor file onto its clock, with an outline to draw."""
    from workers.signals.description import Description
    from workers.signals.errors import SignalError
    from workers.signals.extract import extract

    said = takes.sensors_of(run.job.subject_id)
    work = pipeline.begin(run, parameters=said)
    if work is None:
        return
    try:
        with (
            work.lend(_Kind.ORIGINAL) as source,
            storage.workspace(f"signals-{run.job.attempts}") as folder,
        ):
            found = extract(
                source,
                folder,
                description=Description.read(**said),
                name=work.recording.original_name,
                on_progress=lambda share: run.progress(share, "Reading the sensors"),
            )
            pipeline.finish(
                run,
                work,
                _outcome(found),
                still=lambda: takes.sensors_of(run.job.subject_id) == said,
            )
    except SignalError as error:
        raise BadInput(str(error)) from error


def _outcome(found: Signals) -> Outcome:
    start_us = min(summary.start_us for summary in found.channels)
    end_us = max(summary.end_us for summary in found.channels)
    return Outcome(
        files=[
            MadeFile(_Kind.SIGNALS, found.table, "application/vnd.apache.parquet"),
            MadeFile(_Kind.SIGNAL_OUTLINE, found.outline, "application/json"),
        ],
        fields={"duration_us": end_us - start_us},
        figures=found.figures,
        notes=found.notes,
        tools=found.tools,
        findings=Findings(
            channels=[_channel(number, one) for number, one in enumerate(found.channels)]
        ),
    )


def _channel(number: int, found: Summary) -> ChannelRead:
    return ChannelRead(
        number=number,
        name=found.channel.name,
        unit=found.channel.unit,
        rate=found.channel.rate,
        samples=found.samples,
        missing=found.missing,
        start_us=found.start_us,
        end_us=found.end_us,
        minimum=found.minimum,
        maximum=found.maximum,
    )
