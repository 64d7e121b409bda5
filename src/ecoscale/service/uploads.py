"""What a client sends: taken as it comes, within limits, into a private folder that does not outlive the answer.

Small files wait in memory until a reader's thread writes and reads them; large ones go to disk as they come.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ecoscale.service.answers import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from python_multipart.multipart import MultipartCallbacks
    from starlette.requests import Request

    from ecoscale.service.settings import Settings

IN_MEMORY = 1 << 20
"""Bytes of a file that wait in memory before they are written."""

_PREFIX = "ecoscale-serve-"
_NAME_BYTES = 200


class Uploads:
    """The folder of one process in which uploads lie; locked while it lives, so that the next may remove it."""

    def __init__(self, temporary: str | None = None) -> None:
        parent = Path(temporary or tempfile.gettempdir())
        _remove_abandoned(parent)
        # It gets the name by which others would look for it when it is locked: until then it would seem abandoned.
        made = Path(tempfile.mkdtemp(prefix=f"new-{_PREFIX}", dir=parent))
        self._lock = os.open(made, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder = made.rename(made.with_name(made.name.removeprefix("new-")))
        self._numbers = count()

    def new(self) -> Upload:
        """An empty one."""
        return Upload(self.folder / str(next(self._numbers)))

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of processes that were killed: those that nobody holds locked."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it is in use
            pass
        finally:
            os.close(lock)


class _File:
    """A file as it comes."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.waiting = bytearray()
        self.stream: BinaryIO | None = None

    def write(self) -> None:
        """What waits, to disk."""
        try:
            if self.stream is None:
                self.path.parent.mkdir(mode=0o700, exist_ok=True)
                self.stream = self.path.open("xb", buffering=0)
            while self.waiting:
                del self.waiting[: self.stream.write(self.waiting)]
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise RefusedError(507, "no_room", "there is no room here for the upload; try again later") from None


class Upload:
    """The files of one request, and the folder in which they lie once they are written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_bytes = 0
        self.samples: bytes | None = None
        self._files: dict[str, _File] = {}

    @property
    def names(self) -> list[str]:
        """Names of the files, as the client calls them."""
        return list(self._files)

    def add(self, name: str) -> _File:
        """A file with this name. Raises `RefusedError` for a name twice, or one that is none."""
        name = _file_name(name)
        if name in self._files:
            raise RefusedError(400, "bad_request", f"{name}: two files of one name; expected each once")
        self._files[name] = _File(name, self.folder / name)
        return self._files[name]

    def paths(self) -> list[Path]:
        """The files on disk, written there if they were not yet. To be called in a thread."""
        for file in self._files.values():
            file.write()
            if file.stream is not None:
                file.stream.close()
        return [file.path for file in self._files.values()]

    def cleaned(self, text: str) -> str:
        """A message without the folder in which the files lie here."""
        return text.replace(f"{self.folder}{os.sep}", "").replace(str(self.folder), "the upload")

    def close(self) -> None:
        """Remove the files, whatever has become of them."""
        for file in self._files.values():
            if file.stream is not None:
                file.stream.close()
                with suppress(OSError):
                    file.path.unlink()
        with suppress(FileNotFoundError):
            try:
                self.folder.rmdir()
            except OSError:
                shutil.rmtree(self.folder, ignore_errors=True)


def _file_name(name: str) -> str:
    """The last part of a name, as some browsers send a path. Raises `RefusedError` where nothing is left."""
    last = re.split(r"[/\\]", name)[-1].strip()
    if last in ("", ".", "..") or any(ord(sign) < 32 or 0xD800 <= ord(sign) < 0xE000 for sign in last):
        raise RefusedError(400, "bad_request", f"the file is called {last!r}; give it a name, such as ecg.dcm")
    if len(last.encode()) > _NAME_BYTES:
        raise RefusedError(
            400, "bad_request", f"the file's name is longer than {_NAME_BYTES} bytes; give a shorter one"
        )
    return last


async def receive(request: Request, upload: Upload, limit: int, settings: Settings) -> None:
    """Take a request's body into `upload`: multipart, JSON samples, or a file as it is.

    Raises `RefusedError`: 413 beyond `limit` bytes, as soon as that is known; 408 when the body does not come in time;
    400 for what is neither; and starlette's `ClientDisconnect`.
    """
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    is_samples = kind == b"application/json" and "filename" not in request.query_params
    if is_samples:
        limit = min(limit, settings.max_samples_json)
    _refuse_larger(int(request.headers.get("content-length") or 0), limit)
    try:
        async with asyncio.timeout(settings.body_timeout):
            if kind == b"multipart/form-data":
                await _receive_form(request, upload, limit, options.get(b"boundary", b""), settings.max_files)
            else:
                await _receive_body(request, upload, limit, kind, is_samples)
    except TimeoutError:
        raise RefusedError(
            408,
            "slow_upload",
            f"the body did not arrive within {settings.body_timeout:g} s; send it again",
            {"Connection": "close"},
        ) from None
    if not upload.n_bytes:
        raise RefusedError(400, "no_file", "the body is empty; send a file as multipart field 'file', or as the body")


def _refuse_larger(n_bytes: int, limit: int) -> None:
    if n_bytes > limit:
        raise RefusedError(
            413,
            "too_large",
            f"the body is larger than {limit / (1 << 20):g} MiB, the limit of this service",
            {"Connection": "close"},
        )


async def _receive_body(request: Request, upload: Upload, limit: int, kind: bytes, is_samples: bool) -> None:
    body = upload.add("samples.json" if is_samples else _name_of_body(request, kind))
    async for chunk in request.stream():
        upload.n_bytes += len(chunk)
        _refuse_larger(upload.n_bytes, limit)
        body.waiting += chunk
        if not is_samples and len(body.waiting) > IN_MEMORY:
            await asyncio.to_thread(body.write)
    if is_samples:
        upload.samples = bytes(body.waiting)


def _name_of_body(request: Request, kind: bytes) -> str:
    if name := request.query_params.get("filename"):
        return name
    return "observation.json" if kind == b"application/fhir+json" else "upload"


async def _receive_form(request: Request, upload: Upload, limit: int, boundary: bytes, most: int) -> None:
    form = _Form(upload, most)
    with _form_errors():
        parser = MultipartParser(boundary or b"-", form.callbacks)
        async for chunk in request.stream():
            upload.n_bytes += len(chunk)
            _refuse_larger(upload.n_bytes, limit)
            parser.write(chunk)
            if form.file is not None and len(form.file.waiting) > IN_MEMORY:
                await asyncio.to_thread(form.file.write)
    if not form.ended:
        raise RefusedError(400, "bad_request", "the multipart body has no end; send it whole, with its last boundary")
    if not upload.names:
        raise RefusedError(400, "no_file", "no file in the form; send it as the field 'file'")


@contextmanager
def _form_errors() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise RefusedError(400, "bad_request", f"the multipart body cannot be parsed ({error})") from None


class _Form:
    """What the parser of a multipart body finds."""

    def __init__(self, upload: Upload, most: int) -> None:
        self.upload, self.most = upload, most
        self.file: _File | None = None
        self.ended = False
        self._field, self._value = b"", b""
        self._disposition = b""

    @property
    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self.file, self._disposition, self._field, self._value = None, b"", b"", b""

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"filename")
        if name is None or options.get(b"name") != b"file":
            field = options.get(b"name", b"").decode("utf-8", "replace")[:40]
            raise RefusedError(
                400,
                "bad_request",
                f"the form has a field {field!r}; expected files only, each as field 'file' with a name",
            )
        if len(self.upload.names) >= self.most:
            raise RefusedError(413, "too_many_files", f"more than {self.most} files; send fewer at once")
        try:
            self.file = self.upload.add(name.decode("utf-8"))
        except UnicodeDecodeError:
            self.file = self.upload.add(name.decode("latin-1"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.file is not None:
            self.file.waiting += data[start:end]

    def _end(self) -> None:
        self.ended = True
