"""`ecoscale predict --resume`: what an interrupted run left is gone on with, nothing twice and nothing lost."""

import contextlib
import json
import os
import random
import resource
import signal
import subprocess

import pandas as pd
import pytest
from pyarrow import parquet

from ecoscale.cli._output import Format
from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import synthetic_ecg

SUFFIXES = ("jsonl", "csv", "parquet")
SETTLED = 0.02
"""Seconds between two looks at a file that a process is writing."""


@pytest.fixture
def last(tmp_path):
    """The last recording: at first a pipe in which nothing comes, so that no run ends before it is ended."""
    path = tmp_path / "z.hea"
    os.mkfifo(path)
    return path


def content(path):
    """All that a file of results says."""
    return parquet.read_table(path).to_pylist() if path.suffix == ".parquet" else path.read_bytes()


def lines_in(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def begun(path):
    return path.with_name(f"{path.name}.partial") if path.suffix == ".parquet" else path


def interrupted(process, arguments, path, n_lines, how):
    """A run that was ended by a signal once it had written so many lines: its exit status and standard error."""
    started = process(*arguments, "--output", path)
    while lines_in(begun(path)) < n_lines:
        try:
            started.wait(timeout=SETTLED)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(started.communicate()[1])
    started.send_signal(how)
    _, errors = started.communicate(timeout=60)
    return started.returncode, errors


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_and_resumed_leaves_what_an_undisturbed_one_does(
    process, run, exams, bundle, tmp_path, last, suffix, how
):
    path, other = tmp_path / f"found.{suffix}", tmp_path / f"undisturbed.{suffix}"
    arguments = ("predict", exams, last, "--bundle", bundle, "--batch-size", 4, "--workers", 1)
    n_lines = random.Random(f"{suffix} {how}").randint(3, 12)
    status, errors = interrupted(process, arguments, path, n_lines, how)
    if how is signal.SIGINT:
        assert status == 130
        assert errors.startswith(f"interrupted: {path} has ")
        assert errors.endswith("the same command with --resume goes on\n")
    else:
        assert status == -signal.SIGKILL
        # As a kill in the midst of writing leaves it.
        with begun(path).open("ab") as stream:
            stream.write(b'{"source": "half')
    last.unlink()
    write_wfdb(tmp_path, [synthetic_ecg(seed=3, record="z")])
    resumed = run(*arguments, "--output", path, "--resume")
    assert resumed.exit_code == 1  # one exam is empty
    assert "recordings were done before" in resumed.stderr
    assert "1 of 41 recordings could not be classified" in resumed.stderr
    assert run(*arguments, "--output", other).exit_code == 1
    assert content(path) == content(other)
    assert not begun(path).exists() or begun(path) == path


def test_an_interrupted_run_is_not_overwritten_unasked(process, run, exams, bundle, tmp_path, last):
    path = tmp_path / "found.csv"
    arguments = ("predict", exams, last, "--bundle", bundle, "--batch-size", 4, "--workers", 1)
    interrupted(process, arguments, path, 5, signal.SIGKILL)
    before = path.read_bytes()
    result = run(*arguments, "--output", path)
    assert result.exit_code == 2
    assert "go on with --resume, or delete found.csv and found.csv.run.json to start anew" in result.stderr
    assert path.read_bytes() == before
    path.unlink()
    last.unlink()
    assert run("predict", exams, "--bundle", bundle, "--output", path).exit_code == 1
    assert lines_in(path) == 41


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_complete_run_is_resumed_with_the_recordings_that_came_since(run, ecgs, bundle, tmp_path, suffix):
    path, other = tmp_path / f"found.{suffix}", tmp_path / f"at-once.{suffix}"
    options = ("--bundle", bundle, "--output")
    assert run("predict", ecgs / "good-AF.hea", *options, path, "--resume").exit_code == 0
    again = run("predict", ecgs, *options, path, "--resume")
    assert (again.exit_code, again.stderr) == (0, "1 recordings were done before, 2 now\n")
    nothing = run("predict", ecgs, *options, path, "--resume")
    assert (nothing.exit_code, nothing.stderr) == (0, "3 recordings were done before, 0 now\n")
    run("predict", ecgs, *options, other)
    assert content(path) == content(other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", "AF=0.3"), "(thresholds of AF is 0.5, now 0.3)"),
        (("--format", "json"), 'format is "csv", now "json"'),
        (("--rate", "500", "--unit", "mV"), "options of rate is null, now 500.0"),
        (("--bundle", "six-findings"), 'bundle is "cheap 1", now "six-findings'),
    ],
)
def test_a_file_made_otherwise_is_refused(run, ecgs, bundle, tmp_path, options, message):
    path = tmp_path / "found.csv"
    run("predict", ecgs, "--bundle", bundle, "--output", path)
    before = path.read_bytes()
    result = run("predict", ecgs, "--bundle", bundle, "--output", path, "--resume", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "run it as before, or choose another file for --output" in result.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_line_that_is_no_result_is_refused_by_its_number_and_redone_where_it_is_taken_out(
    run, ecgs, bundle, tmp_path, suffix
):
    path, options = tmp_path / f"found.{suffix}", ("--bundle", bundle, "--output")
    run("predict", ecgs, *options, path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "edited\n", *lines[3:]]))
    refused = run("predict", ecgs, *options, path, "--resume")
    assert refused.exit_code == 2
    assert f"{path}: line 3 is b'edited\\n', which is no result of ecoscale; take the line out" in refused.stderr
    path.write_text("".join([*lines[:2], *lines[3:]]))
    assert run("predict", ecgs, *options, path, "--resume").exit_code == 0
    assert sorted(path.read_text().splitlines(keepends=True)) == sorted(lines)


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        ("csv", "source;record\r\n", "its first line is b'source;record"),
        ("parquet", "PAR1", "cannot be read as the Parquet that was written"),
    ],
)
def test_a_file_that_was_altered_is_refused(run, ecgs, bundle, tmp_path, suffix, text, message):
    path, options = tmp_path / f"found.{suffix}", ("--bundle", bundle, "--output")
    run("predict", ecgs, *options, path)
    path.write_text(text)
    refused = run("predict", ecgs, *options, path, "--resume")
    assert refused.exit_code == 2
    assert f"{path}: {message}" in refused.stderr


@pytest.mark.parametrize("text", ["{}", "[]", '"complete"', "{"])
def test_settings_that_are_none_are_refused(run, ecgs, bundle, tmp_path, text):
    path = tmp_path / "found.csv"
    (tmp_path / "found.csv.run.json").write_text(text)
    for resume in ([], ["--resume"]):
        refused = run("predict", ecgs, "--bundle", bundle, "--output", path, *resume)
        assert refused.exit_code == 2
        assert "found.csv.run.json: " in refused.stderr
        assert "; delete it, and start anew" in refused.stderr


@pytest.mark.parametrize("resume", [False, True])
def test_two_runs_do_not_write_one_file(process, run, ecgs, exams, bundle, tmp_path, last, resume):
    path = tmp_path / "found.jsonl"
    options = ("--bundle", bundle, "--output", path, "--batch-size", "1")
    first = process("predict", exams, last, *options)
    while lines_in(path) < 8:
        assert first.poll() is None
        with contextlib.suppress(subprocess.TimeoutExpired):
            first.wait(timeout=SETTLED)
    before = path.read_bytes()
    second = run("predict", ecgs, *options, *(["--resume"] if resume else []))
    first.kill()
    first.communicate()
    assert second.exit_code == 2
    assert f"{path}: another run is writing it; wait for its end" in second.stderr
    assert path.read_bytes().startswith(before)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_said_and_gone_on_from_when_there_is_room(run, exams, bundle, tmp_path, suffix):
    path, other = tmp_path / f"found.{suffix}", tmp_path / f"undisturbed.{suffix}"
    arguments = ("predict", exams, "--bundle", bundle, "--batch-size", "2", "--output")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        full = run(*arguments, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.exit_code == 2
    assert f"{begun(path)}: cannot be written (" in full.stderr
    assert "the same command with --resume goes on" in full.stderr
    assert "were done before" in run(*arguments, path, "--resume").stderr
    run(*arguments, other)
    assert content(path) == content(other)


def test_an_empty_file_of_unknown_origin_holds_nothing_to_lose(run, ecgs, bundle, tmp_path):
    path = tmp_path / "found.csv"
    path.touch()
    assert run("predict", ecgs, "--bundle", bundle, "--output", path, "--resume").exit_code == 0
    assert lines_in(path) == 4


def test_a_file_of_unknown_origin_is_refused(run, ecgs, bundle, tmp_path):
    path = tmp_path / "found.csv"
    path.write_text("mine\n")
    result = run("predict", ecgs, "--bundle", bundle, "--output", path, "--resume")
    assert result.exit_code == 2
    assert "found.csv.run.json is not beside it" in result.stderr
    assert path.read_text() == "mine\n"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_failures_count_as_done_until_they_are_retried(run, ecgs, bundle, tmp_path, suffix):
    broken, path = tmp_path / "z.hea", tmp_path / f"found.{suffix}"
    broken.write_text("junk\n")
    arguments = ("predict", ecgs, broken, "--bundle", bundle, "--output", path)
    assert run(*arguments).exit_code == 1
    write_wfdb(tmp_path, [synthetic_ecg(seed=3, record="z")])
    assert run(*arguments, "--resume").exit_code == 1
    retried = run(*arguments, "--resume", "--retry-failed")
    assert (retried.exit_code, retried.stderr) == (0, "3 recordings were done before, 1 now\n")
    other = tmp_path / f"undisturbed.{suffix}"
    run(*arguments[:-1], other)
    assert content(path) == content(other)


def test_prevalences_that_were_estimated_stay_as_they_were(run, tiny_bundle, code15, tmp_path):
    path = tmp_path / "found.jsonl"
    options = ("--bundle", tiny_bundle.path, "--prevalence", "estimate", "--output", path)
    run("predict", code15, *options)
    before = path.read_bytes()
    write_wfdb(tmp_path, [synthetic_ecg(("AF",), seed=3, record="z")])
    run("predict", code15, tmp_path / "z.hea", *options, "--resume")
    after = path.read_bytes()
    assert after.startswith(before)
    first, *_, last = (json.loads(line)["findings"] for line in after.splitlines() if b"findings" in line)
    assert last["AF"]["prevalence"] == first["AF"]["prevalence"]
    assert run("predict", code15, *options[:2], "--output", path, "--resume").exit_code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume",), "give --output with a name in .jsonl, .csv or .parquet"),
        (("--resume", "--output", "x.jsonl", "--report", "x.html"), "a report draws every ECG of one run"),
        (("--retry-failed", "--output", "x.jsonl"), "give --resume too"),
        (("--format", "parquet"), "give --output too"),
    ],
)
def test_what_cannot_be_resumed_is_said(run, ecgs, bundle, options, message):
    result = run("predict", ecgs, "--bundle", bundle, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_the_suffix_chooses_the_format_unless_one_is_given(run, ecgs, bundle, tmp_path):
    for suffix, form in (("jsonl", Format.JSON), ("json", Format.JSON), ("csv", Format.CSV), ("CSV", Format.CSV)):
        path = tmp_path / f"found.{suffix}"
        run("predict", ecgs, "--bundle", bundle, "--output", path)
        assert path.read_text() == run("predict", ecgs, "--bundle", bundle, "--format", form).stdout
    path = tmp_path / "given.csv"
    run("predict", ecgs, "--bundle", bundle, "--output", path, "--format", "json")
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_parquet_has_the_rows_of_the_csv_with_types_and_says_how_it_was_made(run, ecgs, bundle, tmp_path):
    (tmp_path / "broken.hea").write_text("junk\n")
    for suffix in ("csv", "parquet"):
        run("predict", ecgs, tmp_path / "broken.hea", "--bundle", bundle, "--output", tmp_path / f"found.{suffix}")
    table, text = pd.read_parquet(tmp_path / "found.parquet"), pd.read_csv(tmp_path / "found.csv")
    assert list(table.columns) == list(text.columns)
    assert list(table["source"]) == list(text["source"])
    assert table["AF_probability"].dtype == float
    assert list(table["AF_present"].dropna()) == list(text["AF_present"].dropna() == 1)
    assert table["error"].notna().tolist() == [False, False, False, True]
    schema = parquet.read_schema(tmp_path / "found.parquet")
    assert json.loads(schema.metadata[b"ecoscale"])["bundle"] == "cheap 1"
