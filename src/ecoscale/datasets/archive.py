"""Where a collection is published, and the list of its files with their checksums, as the host states them."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from requests import Response, Session

BASE_URLS = {
    "physionet": "https://physionet.org/files",
    "zenodo": "https://zenodo.org/api",
    "figshare": "https://api.figshare.com/v2",
}
"""What a mirror stands in for."""

OWN_PREFIX = ".ecoscale-download"
"""How the names of files begin that a download keeps for itself."""

_PAGE = 1000  # figshare gives ten at a time unless asked


@dataclass(frozen=True)
class Archive:
    """A publication of files.

    Parameters
    ----------
    host
        Who serves it, which decides how its files are listed: PhysioNet by `SHA256SUMS.txt`, Zenodo and figshare by
        their public interface.
    id
        The project and version (`ptb-xl/1.0.3`), the Zenodo record, or the figshare collection (`5779802`; an article
        by itself is `articles/17912441`).
    size
        Bytes to download, for planning; what the host says at the time counts.
    unpacked
        Bytes of what its zip and tar files hold, for planning; None: as much as their own size.
    """

    host: Literal["physionet", "zenodo", "figshare"]
    id: str
    size: int
    unpacked: int | None = None


@dataclass(frozen=True)
class RemoteFile:
    """A published file: `path` below the collection's folder, `size` in bytes or None where the listing has none.

    `checksum` is `sha256:...` or `md5:...` in lower case, or None where the host states none.
    """

    path: str
    url: str
    size: int | None
    checksum: str | None


def list_files(archive: Archive, base_url: str | None = None, *, session: Session | None = None) -> list[RemoteFile]:
    """The files of a publication, in the host's order.

    `base_url` names a mirror that is laid out as the host is below its `BASE_URLS`. Of PhysioNet's files,
    `SHA256SUMS.txt` itself is not listed, as it states no checksum of its own.

    Raises
    ------
    DatasetError
        If the listing cannot be fetched or read, is empty, or names a file that would lie outside the folder.
    MissingExtraError
        Without the package `requests`.
    """
    from ecoscale.datasets.transfer import open_session

    if session is None:
        with open_session() as session:
            return list_files(archive, base_url, session=session)
    base = (base_url or BASE_URLS[archive.host]).rstrip("/")
    listed = {"physionet": _physionet, "zenodo": _zenodo, "figshare": _figshare}[archive.host]
    files = list(listed(session, base, archive.id))
    if not files:
        raise DatasetError(f"{base}: {archive.host} lists no files of {archive.id}; is access to them restricted?")
    seen: set[str] = set()
    for file in files:
        if {file.path, f"{file.path}.part", file.path.removesuffix(".part")} & seen:
            raise DatasetError(f"{base}: {archive.id} lists {file.path} twice, or beside another of the same name")
        seen.add(file.path)
    return files


def published_path(text: str, source: str) -> str:
    """A path that a listing or an archive names, if it stays in its folder on any system.

    Raises `DatasetError` naming `source` for an absolute path, `..`, a drive, a backslash, or a control character.
    """
    path, windows = PurePosixPath(text), PureWindowsPath(text)
    outside = path.is_absolute() or ".." in path.parts or windows.drive or windows.root or not path.parts
    if outside or re.search(r"[\\\x00-\x1f\x7f]", text) or any(part.startswith(OWN_PREFIX) for part in path.parts):
        raise DatasetError(f"{source} names {text!r}; expected a path inside its folder, so nothing of it is used")
    return str(path)


def estimated_sizes(files: Sequence[RemoteFile], session: Session, otherwise: int) -> dict[str, int]:
    """Bytes of each file by path: as listed or, where the listing has no sizes, as large as the first of its kind.

    A kind is a top folder and a suffix (`records100`, `.dat`): records of one kind are of one length in most
    collections, and asking a server for each of 90,000 sizes would be rude. A kind whose first file's size is not told
    counts `otherwise` for each.
    """
    from requests import RequestException

    from ecoscale.datasets.transfer import TIMEOUT

    kinds: dict[tuple[str, str], int] = {}
    sizes: dict[str, int] = {}
    for file in files:
        if file.size is not None:
            sizes[file.path] = file.size
            continue
        path = PurePosixPath(file.path)
        kind = (path.parts[0] if len(path.parts) > 1 else "", path.suffix)
        if kind not in kinds:
            try:
                with session.head(file.url, allow_redirects=True, timeout=TIMEOUT) as response:
                    length = response.headers.get("Content-Length", "") if response.ok else ""
            except RequestException:
                length = ""
            kinds[kind] = int(length) if length.isdecimal() else otherwise
        sizes[file.path] = kinds[kind]
    return sizes


def _physionet(session: Session, base: str, project: str) -> Iterator[RemoteFile]:
    """`SHA256SUMS.txt`: a line `<sha256>  <path>` for each file."""
    folder = f"{base}/{project.strip('/')}"
    url = f"{folder}/SHA256SUMS.txt"
    for number, line in enumerate(_get(session, url).content.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        if not (found := re.fullmatch(r"([0-9a-fA-F]{64})[ \t]+\*?(.+)", line.strip())):
            raise DatasetError(f"{url}: line {number} is {line[:80]!r}; expected a SHA-256 and a path")
        path = published_path(found[2], f"{url}: line {number}")
        yield RemoteFile(path, f"{folder}/{quote(path)}", None, f"sha256:{found[1].lower()}")


def _zenodo(session: Session, base: str, record: str) -> Iterator[RemoteFile]:
    """The record as JSON: `files`, each with `key`, `size`, `checksum` ("md5:...") and `links.self`."""
    url = f"{base}/records/{record}"
    content = _json(_get(session, url))
    try:
        for file in content["files"]:
            link = str(file["links"]["self"])
            yield RemoteFile(
                published_path(file["key"], url),
                # A mirror may pass on the host's own answer.
                base + link.removeprefix(BASE_URLS["zenodo"]) if link.startswith(BASE_URLS["zenodo"] + "/") else link,
                int(file["size"]),
                _checksum(file["checksum"], f"{url}: {file['key']}"),
            )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{url}: not a Zenodo record with its files ({error!r}); is its id right?") from error


def _figshare(session: Session, base: str, publication: str) -> Iterator[RemoteFile]:
    """The files of an article, or of all articles of a collection: `name`, `size`, `computed_md5`, `download_url`."""
    kind, _, number = publication.rpartition("/")
    url = f"{base}/{publication}" if kind else f"{base}/collections/{publication}"
    try:
        articles = [number] if kind == "articles" else [row["id"] for row in _pages(session, f"{url}/articles")]
        for article in articles:
            url = f"{base}/articles/{article}/files"
            for file in _pages(session, url):
                digest = file["computed_md5"] or file.get("supplied_md5")
                yield RemoteFile(
                    published_path(file["name"], url),
                    file["download_url"],
                    int(file["size"]),
                    _checksum(f"md5:{digest}", f"{url}: {file['name']}") if digest else None,
                )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{url}: not a list of figshare's ({error!r}); is {publication} right?") from error


def _pages(session: Session, url: str) -> Iterator[dict[str, Any]]:
    """The rows of all pages, until one is empty: a server may give fewer at a time than it is asked for."""
    before = None
    for page in itertools.count(1):
        rows = _json(_get(session, url, page=page, page_size=_PAGE))
        if not rows or rows == before:  # a mirror of plain files answers the same whatever the page
            return
        yield from rows
        before = rows


def _checksum(text: str, source: str) -> str:
    algorithm, _, digest = text.lower().partition(":")
    length = {"md5": 32, "sha256": 64}.get(algorithm)
    if length is None or not re.fullmatch(rf"[0-9a-f]{{{length}}}", digest):
        raise DatasetError(f"{source} has checksum {text!r}; expected md5:... or sha256:...")
    return f"{algorithm}:{digest}"


def _get(session: Session, url: str, **query: int) -> Response:
    from requests import RequestException

    from ecoscale.datasets.transfer import TIMEOUT

    try:
        response = session.get(url, params=query, timeout=TIMEOUT)
    except RequestException as error:
        raise DatasetError(f"{url}: the list of files cannot be fetched ({error}); try again later") from error
    if not response.ok:
        raise DatasetError(
            f"{url}: the server answers {response.status_code} {response.reason} where the list of files is expected"
        )
    return response


def _json(response: Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise DatasetError(f"{response.url}: expected JSON, found {response.text[:80]!r}") from error
