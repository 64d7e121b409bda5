"""XML and JSON as documents: telling them by their first bytes, and parsing them without what a hostile one would do.

What is in one is read by the modules of the formats.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import EcoscaleError, FormatError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

LARGEST_DOCUMENT = 64 * 2**20
"""Bytes of the largest document that is read: a quarter of an hour of 12 leads at 500 Hz in digits, or more."""

_NUMBERS_TOGETHER = 2**16
"""Characters of digits that are parsed at once: a string for each number takes ten times its memory."""

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
# What may stand before the root element: the declaration, comments, and the document type without or with a subset.
_BEFORE_ROOT = re.compile(
    r"\s*(?:<\?[^>]*\?>|<!--(?:[^-]|-(?!->))*-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\]\s*)?>)", re.IGNORECASE
)
_ROOT = re.compile(r"\s*<(?:[\w.-]+:)?([\w.-]+)[\s/>]")


def looks_like_xml(head: bytes) -> bool:
    """Whether a file's first bytes begin XML, in UTF-8, UTF-16 or an encoding that has ASCII in it."""
    return bool(re.match(r"\s*<(?:[?!\w])", _decoded(head)))


def looks_like_json(head: bytes) -> bool:
    """Whether a file's first bytes begin an object or array of JSON."""
    return bool(re.match(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*(?:"|\}|$)|\[\s*(?:[\[{\]]|$))', head))


def root_name(head: bytes) -> str:
    """The name of the root element without its prefix, from a file's first bytes; empty where they do not reach it."""
    text = _decoded(head)
    at = 0
    while match := _BEFORE_ROOT.match(text, at):
        at = match.end()
    match = _ROOT.match(text, at)
    return match[1] if match else ""


def parse_xml(path: Path, source: str) -> Element:
    """The root element of an XML file, in the encoding that it states.

    Nothing outside the file is read: a document type that names a DTD elsewhere, as those of GE MUSE do, is passed
    over. Raises `FormatError` for XML that is not well-formed, declares entities (with which a few bytes can become
    gigabytes, or another file be read) or is larger than `LARGEST_DOCUMENT`; `MissingExtraError` without defusedxml.
    """
    try:
        from defusedxml import DefusedXmlException, ElementTree
    except ImportError:
        raise MissingExtraError("reading XML", "defusedxml", "formats") from None
    data = _content(path, source, "XML")
    try:
        return ElementTree.fromstring(data, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise FormatError(
            f"{source}: the XML declares entities ({type(error).__name__}), which no ECG needs and which can be used "
            "to exhaust memory or read other files; export it again without them"
        ) from error
    except Exception as error:  # ParseError, and ValueError or LookupError for an encoding
        raise FormatError(f"{source}: the XML cannot be read ({error}). Is it whole?") from error


def parse_json(path: Path, source: str) -> Any:
    """What a JSON file holds. Raises `FormatError` for what is not JSON or is larger than `LARGEST_DOCUMENT`."""
    data = _content(path, source, "JSON")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{source}: the JSON cannot be read ({error}). Is it whole?") from error


def holds_keys(path: Path, *keys: str) -> bool:
    """Whether a JSON file of a size that is read has all these keys, wherever; false for one that cannot be opened."""
    try:
        data = path.read_bytes() if path.stat().st_size <= LARGEST_DOCUMENT else b""
    except OSError:
        return False
    return all(b'"%s"' % key.encode() in data for key in keys)


def parse_numbers(text: str, source: str, field: str) -> NDArray[np.float64]:
    """Numbers that whitespace separates. Raises `FormatError` naming the first that is none."""
    pieces, at = [], 0
    if "_" in text:  # which Python's numbers may hold
        raise FormatError(f"{source}: {field} holds '_'; expected numbers with whitespace between")
    while at < len(text):
        end = at + _NUMBERS_TOGETHER
        while end < len(text) and not text[end].isspace():
            end += 1
        words = text[at:end].split()
        try:
            pieces.append(np.array(words, dtype=np.float64))
        except ValueError as error:
            raise FormatError(
                f"{source}: {field} is not all numbers ({str(error)[:80]}); expected numbers with whitespace between"
            ) from error
        at = end
    return np.concatenate(pieces) if pieces else np.empty(0)


@contextmanager
def damage_reported(source: str, kind: str) -> Iterator[None]:
    """What a document that is not as its format says raises on the way comes out as a `FormatError`."""
    try:
        yield
    except EcoscaleError:
        raise
    except Exception as error:
        raise FormatError(
            f"{source}: the {kind} cannot be read ({type(error).__name__}: {error}). Is it whole?"
        ) from error


def _decoded(head: bytes) -> str:
    encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "latin-1")
    return head.removeprefix(b"\xef\xbb\xbf").decode(encoding, errors="ignore").lstrip("\ufeff")


def _content(path: Path, source: str, kind: str) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # As many as there are: a buffer is taken for all that is asked for.
            data = file.read(size) if size <= LARGEST_DOCUMENT else b""
    except OSError as error:
        raise FormatError(f"{source}: the file cannot be read: {error}") from error
    if size > LARGEST_DOCUMENT:
        raise FormatError(
            f"{source}: {kind} of more than {LARGEST_DOCUMENT // 2**20} MiB; expected a resting ECG: it would be read "
            "whole. Export long recordings as WFDB or EDF"
        )
    return data
