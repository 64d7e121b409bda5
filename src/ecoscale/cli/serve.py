"""`ecoscale serve`: findings over HTTP, and a page to see them on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated

import typer

from ecoscale.cli._output import Precision  # noqa: TC001 - typer reads it at run time

_MIB = 1 << 20


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0: all.", envvar="ECOSCALE_HOST")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.", envvar="ECOSCALE_PORT")] = 8000,
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            help="A bundle's folder or name; repeatable, the first is the default.",
            show_default="the bundle in the package",
            envvar="ECOSCALE_BUNDLE",
        ),
    ] = None,
    precision: Precision = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes; limits and threads are each one's.", envvar="ECOSCALE_WORKERS")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processor threads of the network.", show_default="cores / workers", envvar="ECOSCALE_THREADS"
        ),
    ] = None,
    readers: Annotated[
        int | None,
        typer.Option(min=1, help="Threads that read files.", show_default="cores / workers", envvar="ECOSCALE_READERS"),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="ECGs classified at once, at most.", envvar="ECOSCALE_BATCH_SIZE")
    ] = 32,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="Ask for this key; better given in the environment, where ps does not show it.",
            show_default="none",
            envvar="ECOSCALE_API_KEY",
            show_envvar=True,
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Answer only requests to this name; repeatable.", show_default="any", envvar="ECOSCALE_ALLOWED_HOST"
        ),
    ] = None,
    max_upload: Annotated[
        float, typer.Option(min=0.001, help="MiB of a request's body.", envvar="ECOSCALE_MAX_UPLOAD")
    ] = 64,
    max_long_upload: Annotated[
        float, typer.Option(min=0.001, help="The same for long records.", envvar="ECOSCALE_MAX_LONG_UPLOAD")
    ] = 1024,
    max_files: Annotated[int, typer.Option(min=1, help="Files of a request.", envvar="ECOSCALE_MAX_FILES")] = 256,
    body_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a body to arrive.", envvar="ECOSCALE_BODY_TIMEOUT")
    ] = 60,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for an answer, then.", envvar="ECOSCALE_TIMEOUT")
    ] = 120,
    queue: Annotated[
        int, typer.Option(min=1, help="Requests under way; more are told to come back.", envvar="ECOSCALE_QUEUE")
    ] = 128,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds to go on after SIGTERM, not ready.", envvar="ECOSCALE_DRAIN")
    ] = 1.0,
    temporary: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            exists=True,
            help="Folder for uploads.",
            show_default="the system's",
            envvar="ECOSCALE_TEMPORARY",
        ),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="Of the lines on standard error.", envvar="ECOSCALE_LOG_FORMAT")
    ] = LogFormat.TEXT,
) -> None:
    """Classify ECGs over HTTP, and serve a page to see them on (needs ecoscale[serve]).

    Nothing that is sent is kept after the answer, and nothing of it is logged. SIGTERM finishes what was accepted.
    Every option may be given in the environment instead, as ECOSCALE_PORT, ECOSCALE_MAX_UPLOAD and so on.

    Examples:
      ecoscale serve
      ecoscale serve --port 9000 --bundle six-findings --bundle statements
      ecoscale serve --host 0.0.0.0 --workers 4 --log-format json
      ecoscale serve --max-upload 16 --queue 64 --timeout 30
    """
    from ecoscale.bundle import Bundle
    from ecoscale.errors import BundleError
    from ecoscale.service.server import serve as run
    from ecoscale.service.settings import Settings

    if api_key is not None and not (api_key and api_key.isascii() and api_key.isprintable()):
        raise typer.BadParameter("expected printable ASCII, not empty", param_hint="--api-key")
    # What is wrong with a bundle is said once and here, not by every worker.
    bundles = [Bundle.load(each) for each in bundle or [None]]
    for each in bundles:
        each.require_ecg("ecoscale serve")
    names = [each.manifest.name for each in bundles]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BundleError(f"bundle {', '.join(sorted(twice))} is given twice; each is served by its name")
    settings = Settings(
        bundles=tuple(bundle or ()),
        precision=None if precision is None else precision.value,
        threads=threads,
        readers=readers,
        workers=workers,
        batch_size=batch_size,
        max_upload=int(max_upload * _MIB),
        max_long_upload=int(max_long_upload * _MIB),
        max_files=max_files,
        body_timeout=body_timeout,
        timeout=timeout,
        queue=queue,
        api_key=api_key,
        allowed_hosts=tuple(allowed_host or ()),
        drain=drain,
        temporary=None if temporary is None else str(temporary),
        log_format=log_format.value,
    )
    run(settings, host, port)
