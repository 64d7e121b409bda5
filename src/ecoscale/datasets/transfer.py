"""One published file over HTTP: resumed where it stopped, and in its place only when its checksum is right.

What has come lies in `NAME.part`; beside it `NAME.part.json` holds the checksum that is expected and what the server
said of the version that it serves (`ETag`, `Last-Modified`), so that going on with another version is refused by the
server (`If-Range`, RFC 9110 section 13.1.5). Every chunk is written out at once: however a process ends, the part
holds a beginning of the file.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from typing import TYPE_CHECKING, Self

from ecoscale import __version__
from ecoscale.errors import DatasetError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from requests import Response, Session

    from ecoscale.datasets.archive import RemoteFile

TIMEOUT = (20, 60)
"""Seconds until a connection must stand, and between two of its bytes."""
BACKOFF = 1.0
"""Seconds before a failed request is tried again; doubled each time."""
TRIES = 5
"""How often in a row a file is asked for without a further byte of it coming."""
MAX_CONNECTIONS = 1000
"""How often a file is asked for at all, while further bytes come."""

_CHUNK = 1 << 17
_PASSING = (429, 500, 502, 503, 504)


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The download was asked to stop; what has come is kept."""


def open_session(backoff: float = BACKOFF) -> Session:
    """A session that says who it is, and tries again after what passes (429 and 5xx, heeding `Retry-After`).

    `backoff` is in seconds, doubled at each try; 0 waits only as long as a server says. Raises `MissingExtraError`
    without the package `requests`.
    """
    try:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3 import Retry
    except ImportError as error:
        raise MissingExtraError("downloading", "requests", "data") from error
    session = requests.Session()
    # Bytes are counted and resumed as they are published: no compression on the way.
    session.headers.update({"User-Agent": f"ecoscale/{__version__}", "Accept-Encoding": "identity"})
    retry = Retry(total=TRIES, status_forcelist=_PASSING, backoff_factor=backoff, raise_on_status=False)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def fetch(
    session: Session,
    file: RemoteFile,
    target: Path,
    *,
    backoff: float = BACKOFF,
    received: Callable[[int], object] = lambda _n_bytes: None,
    stop: threading.Event | None = None,
) -> None:
    """Fetch a file to `target`, going on from `target`'s part if there is one.

    A connection that breaks is opened again from where it stopped, up to `TRIES` times in a row without a further
    byte. A server that ignores ranges, or answers with another range, is read from the beginning. A wrong checksum
    deletes the part, and the file is fetched once more from its first byte. `received` is told the bytes that come,
    and, as a negative number, those that must come again.

    Raises
    ------
    DatasetError
        If the server refuses the file, if connections keep breaking (the part is kept), or if the checksum is wrong
        twice (it is deleted).
    Stopped
        When `stop` is set.
    """
    stop = stop or threading.Event()
    target.parent.mkdir(parents=True, exist_ok=True)
    found = ""
    for _ in range(2):
        with _Part(target, file.checksum or "", received) as part:
            _fill(part, session, file, backoff, stop)
            found = part.checksum()
        if found == file.checksum:
            # In this order: killed in between, the part alone is found to be whole.
            part.beside.unlink(missing_ok=True)
            part.path.replace(target)
            return
        part.discard()
    raise DatasetError(
        f"{file.path}: the checksum is {found} where {file.checksum} is published, after two attempts ({file.url}); "
        "the server's copy is damaged: try again later, or another server with --mirror"
    )


class _Part:
    """What has come of a file, its digest so far, and what the server said of it."""

    def __init__(self, target: Path, checksum: str, received: Callable[[int], object]) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self.beside = target.with_name(f"{target.name}.part.json")
        self.expected = checksum
        self.algorithm = checksum.partition(":")[0]
        self.received = received
        self.size = 0

    def __enter__(self) -> Self:
        self.said = self._remembered()
        if self.said.get("checksum", self.expected) != self.expected:
            # What is published has changed since.
            self.size = self.path.stat().st_size if self.path.exists() else 0
            self.discard()
        self._stream = self.path.open("a+b")
        self._stream.seek(0)
        self._digest = hashlib.file_digest(self._stream, self._new)
        self.size = self._stream.tell()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stream.close()
        if kind is not None and not self.size:
            self.discard()

    def _new(self) -> hashlib._Hash:
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def _remembered(self) -> dict[str, str]:
        try:
            said = json.loads(self.beside.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def write(self, chunk: bytes) -> None:
        self._stream.write(chunk)
        self._stream.flush()
        self._digest.update(chunk)
        self.size += len(chunk)
        self.received(len(chunk))

    def restart(self) -> None:
        """Empty the part: its bytes must come again."""
        self._stream.truncate(0)
        self._digest = self._new()
        self.received(-self.size)
        self.size = 0

    def discard(self) -> None:
        """Delete the part and what lies beside it."""
        self.path.unlink(missing_ok=True)
        self.beside.unlink(missing_ok=True)
        self.received(-self.size)
        self.size, self.said = 0, {}

    def remember(self, response: Response) -> None:
        """Write down which version of the file is coming; called while the part is empty."""
        said = {"checksum": self.expected, "url": response.url}
        for key in ("ETag", "Last-Modified"):
            if value := response.headers.get(key):
                said[key] = value
        self.said = said
        self.beside.write_text(json.dumps(said, indent=1), encoding="utf-8")

    def range_headers(self) -> dict[str, str]:
        """What asks for the rest, and only of the same version."""
        if not self.size:
            return {}
        tag = self.said.get("ETag", "")
        # A weak tag does not promise the same bytes, and may not be sent here.
        version = tag if tag.startswith('"') else self.said.get("Last-Modified")
        return {"Range": f"bytes={self.size}-"} | ({"If-Range": version} if version else {})

    def checksum(self) -> str:
        return f"{self.algorithm}:{self._digest.hexdigest()}"


def _fill(part: _Part, session: Session, file: RemoteFile, backoff: float, stop: threading.Event) -> None:
    """Ask for what is missing until the part is as long as the file."""
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    furthest, in_vain, connections, reason = part.size, 0, 0, ""
    while in_vain < TRIES and connections < MAX_CONNECTIONS:
        if file.size is not None and part.size > file.size:
            part.restart()
        if part.size == file.size:
            return
        connections += 1
        try:
            with session.get(file.url, headers=part.range_headers(), stream=True, timeout=TIMEOUT) as response:
                if _take(response, part, file, stop):
                    return
            reason = "the answer ended too early, or was not the range asked for"
        except (RequestException, HTTPError) as error:
            reason = str(error)
        in_vain = 0 if part.size > furthest else in_vain + 1
        furthest = max(furthest, part.size)
        if stop.wait(backoff * 2**in_vain if backoff else 0):
            raise Stopped
    of = "" if file.size is None else f" of {file.size:,}"
    raise DatasetError(
        f"{file.path}: {furthest:,}{of} bytes came over {connections} connections ({file.url}: {reason}); "
        "they are kept, and the same command goes on from there"
    )


def _take(response: Response, part: _Part, file: RemoteFile, stop: threading.Event) -> bool:
    """Add a response's bytes to the part; whether the file is now as long as it should be."""
    total = response.headers.get("Content-Length", "") if response.status_code == 200 else ""
    if response.status_code == 206:
        # The beginning must be where the part ends; the length of the whole may be unknown (*).
        where = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if where is None or int(where[1]) != part.size:
            part.restart()
            return False
        total = where[2]
    elif response.status_code == 416 and part.size:
        if response.headers.get("Content-Range") == f"bytes */{part.size}":
            return True
        part.restart()
        return False
    elif response.status_code == 200:
        if part.size:
            part.restart()
        if not total.isdecimal() or int(total) > _CHUNK:
            part.remember(response)  # anything shorter is there as soon as this would be
    else:
        raise DatasetError(
            f"{file.path}: the server answers {response.status_code} {response.reason} ({file.url}); "
            "try again later, or another server with --mirror"
        )
    for chunk in response.raw.stream(_CHUNK, decode_content=False):
        if stop.is_set():
            raise Stopped
        part.write(chunk)
        if file.size is not None and part.size > file.size:
            return True  # and wrong, as its checksum will say
    if file.size is not None:
        return part.size == file.size
    return not total.isdecimal() or part.size >= int(total)
