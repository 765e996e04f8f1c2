"""What the guard asks of Waver, over HTTP on a private address."""

import http.client
import json
import re
from urllib.parse import quote, urlsplit

from django.conf import settings

# Waver answers in milliseconds; a rater should not wait long to hear that it is down.
PATIENCE_SECONDS = 5.0
LARGEST_PART = 8 * 1024 * 1024
_FROM = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


class Unreachable(Exception):
    """Waver does not answer, so nobody may do anything."""


def ask(path, payload):
    """POST `payload` as JSON to an internal endpoint; give (status, decoded answer)."""
    body = json.dumps(payload).encode()
    with_body = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    connection, response = _send("POST", path, with_body, body)
    try:
        data = response.read()
        return response.status, json.loads(data) if data else {}
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(str(error)) from error
    finally:
        connection.close()


def open_media(token, key, byte_range):
    """GET a medium's bytes; give (connection, response), which the caller reads and closes."""
    headers = {"X-Waver-Session": key}
    if byte_range:
        headers["Range"] = _bounded(byte_range)
    return _send("GET", f"/internal/label-studio/media/{quote(token, safe='')}", headers, None)


def _bounded(byte_range):
    """Give a long range a nearer end: a paused player would else hold a thread for hours."""
    found = _FROM.fullmatch(byte_range.replace(" ", ""))
    if found is None:
        return byte_range
    first, last = int(found.group(1)), found.group(2)
    furthest = first + LARGEST_PART - 1
    return f"bytes={first}-{min(int(last), furthest) if last else furthest}"


def _send(method, path, headers, body):
    address, public = urlsplit(settings.WAVER_INTERNAL_URL), urlsplit(settings.WAVER_URL)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname, address.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(
            method,
            f"{address.path}{path}",
            body=body,
            headers={
                "X-Waver-Guard": settings.WAVER_GUARD_SECRET,
                # The private way in is not the public name, which alone Waver answers to.
                "Host": public.netloc,
                "X-Forwarded-Proto": public.scheme,
                **headers,
            },
        )
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise Unreachable(str(error)) from error
    if response.status >= 500:
        connection.close()
        raise Unreachable(f"Waver answered {response.status}")
    return connection, response
