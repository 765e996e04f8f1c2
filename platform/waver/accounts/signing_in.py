"""How often somebody may try to sign in: counted per user name and per address, in the database.

A try is written down before the password is looked at, so that tries at the same moment count as
well, and taken away again where it was right. A name that does not exist counts like one that
does: the answers tell nobody which names there are.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from waver.accounts.models import SignInAttempt

WINDOW = timedelta(minutes=15)
# Wrong tries within the window before one has to wait. A name from one address: somebody who
# mistypes. A name from anywhere: guessed from many addresses. An address with any name: a whole lab
# may sign in from one.
PER_NAME_AND_ADDRESS, PER_NAME, PER_ADDRESS = 5, 30, 60
_KEPT = timedelta(days=1)


@dataclass(frozen=True)
class Try:
    """One try that was let through. Call `succeeded` when the password was right."""

    row: SignInAttempt

    def succeeded(self) -> None:
        """Forget this try and the wrong ones before it of the same name and address."""
        SignInAttempt.objects.filter(name=self.row.name, address=self.row.address).delete()


@dataclass(frozen=True)
class TooMany:
    """The try is refused. `until` says from when on the next may be made."""

    until: datetime

    @property
    def minutes(self) -> int:
        """Whole minutes until then, at least one."""
        return max(1, -(-int((self.until - timezone.now()).total_seconds()) // 60))

    @property
    def sentence(self) -> str:
        """What the person is told, whoever they are."""
        wait = "in a minute" if self.minutes == 1 else f"in {self.minutes} minutes"
        return (
            "There were too many wrong tries to sign in with this user name or from this address. "
            f"Try again {wait}, or ask an administrator for a new password if you forgot yours."
        )


def begin(username: str, request: HttpRequest) -> Try | TooMany:
    """Count a try to sign in, and say whether the password may be looked at at all."""
    now = timezone.now()
    SignInAttempt.objects.filter(created_at__lt=now - _KEPT).delete()
    row = SignInAttempt.objects.create(
        name=_digest("name", username.strip().casefold()),
        address=_digest("address", _from(request)),
    )
    recent = SignInAttempt.objects.filter(created_at__gt=now - WINDOW)
    waits = [
        until
        for until in (
            _full_until(recent.filter(name=row.name, address=row.address), PER_NAME_AND_ADDRESS),
            _full_until(recent.filter(name=row.name), PER_NAME),
            _full_until(recent.filter(address=row.address), PER_ADDRESS),
        )
        if until is not None
    ]
    if not waits:
        return Try(row)
    row.delete()  # or trying on and on would keep the door shut for ever
    return TooMany(max(waits))


def _full_until(tries: QuerySet[SignInAttempt], limit: int) -> datetime | None:
    """Say until when there are more than `limit` tries in the window; None where there are not."""
    newest = list(tries.order_by("-created_at").values_list("created_at", flat=True)[: limit + 1])
    return newest[-1] + WINDOW if len(newest) > limit else None


def _from(request: HttpRequest) -> str:
    """Give the address that the request comes from, past the proxies that stand before us.

    Each adds the address that it sees at the end of X-Forwarded-For; what stands further to the
    left was written by whoever asks. An IPv6 customer has a whole /64, so that counts as one.
    """
    proxies = settings.WAVER_PROXIES
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part]
    address = str(request.META.get("REMOTE_ADDR", ""))
    if proxies and len(seen) >= proxies:
        address = seen[-proxies]
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{known}/64", strict=False)) if known.version == 6 else address


def _digest(kind: str, value: str) -> str:
    """Hash what is counted with the server's secret: the table names nobody."""
    return salted_hmac(f"waver.sign-in.{kind}", value, algorithm="sha256").hexdigest()
