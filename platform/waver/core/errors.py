"""Waver's errors: one tree, each branch says who must act. Messages are whole sentences."""

from __future__ import annotations


class WaverError(Exception):
    """Base of every error that Waver raises on purpose.

    `http_status` maps it at the edge, once; `retry` tells a worker whether trying again can help.
    """

    http_status = 500
    retry = False

    @property
    def sentence(self) -> str:
        """Say what is wrong, with which thing, and what to do."""
        return str(self)


class BadInput(WaverError):
    """The person who gave the input must change it."""

    http_status = 400


class NotAllowed(WaverError):
    """The person may not do this; somebody with that right must."""

    http_status = 403


class ConsentRefused(NotAllowed):
    """The participant's consent does not cover this. Nobody can override it but the participant."""

    def __init__(self, sentence: str, *, purpose: str) -> None:
        super().__init__(sentence)
        self.purpose = purpose


class Missing(WaverError):
    """The thing does not exist, or not for this person."""

    http_status = 404


class Conflict(WaverError):
    """Somebody else was faster, or the thing is in another state; look again and decide."""

    http_status = 409


class TemporaryProblem(WaverError):
    """Something outside is not answering; the same call may succeed later."""

    http_status = 503
    retry = True


class IntegrityProblem(WaverError):
    """Stored data does not match what was recorded about it; an administrator must look."""

    http_status = 500
