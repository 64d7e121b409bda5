"""`ecoscale predict --out`: an archive in parts, by this process: the rows of one file, resumable part by part."""

import json
import signal

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from ecoscale.datasets import open_collection
from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.preparing import prepare
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.preparation import Preparation


@pytest.fixture
def arguments(exams, bundle, tmp_path):
    """A run over 40 exams, one of them empty, in five parts of two batches."""
    return ("predict", exams, "--bundle", bundle, "--out", tmp_path / "out", "--batch-size", 4, "--part-size", 8)


def rows(folder):
    """What lies below, as one table in the order of its files."""
    paths = sorted(folder.rglob("*.parquet"))
    return [row for path in paths for row in parquet.read_table(path, partitioning=None).to_pylist()]


def parts(folder):
    return sorted(path.relative_to(folder).as_posix() for path in (folder / "findings").rglob("*.parquet"))


def test_the_rows_are_those_of_one_file_and_failures_have_a_table_of_their_own(run, arguments, exams, bundle, tmp_path):
    result = run(*arguments)
    out = tmp_path / "out"
    assert result.exit_code == 1
    assert f"39 recordings classified: {out}/findings\n" in result.stderr
    assert f"1 of 40 recordings could not be classified: {out}/failed\n" in result.stderr
    one = tmp_path / "one.parquet"
    run("predict", exams, "--bundle", bundle, "--output", one, "--batch-size", 4)
    expected = parquet.read_table(one).to_pylist()
    assert rows(out / "findings") == [
        {name: value for name, value in row.items() if name != "error"} for row in expected if row["error"] is None
    ]
    assert rows(out / "failed") == [
        {name: row[name] for name in ("source", "record", "error")} for row in expected if row["error"] is not None
    ]
    assert parts(out) == [f"findings/listing=0000/part-{number:05}.parquet" for number in range(5)]
    assert pd.read_parquet(out / "findings")["listing"].eq(0).all()
    assert json.loads((out / "run.json").read_text())["listings"][0]["records"] == 40


def test_a_folder_that_holds_a_run_is_not_written_over(run, arguments, tmp_path):
    run(*arguments)
    again = run(*arguments)
    assert again.exit_code == 2
    assert f"{tmp_path / 'out'}: holds a run already; go on with --resume" in again.stderr


def test_what_is_done_is_not_done_again(run, arguments, tmp_path):
    run(*arguments)
    out = tmp_path / "out"
    expected = rows(out / "findings")
    (out / "findings/listing=0000/part-00002.parquet").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    result = run(*arguments, "--resume")
    assert "32 recordings were done before, 8 now" in result.stderr
    assert rows(out / "findings") == expected
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())


def test_a_run_that_was_killed_goes_on_and_leaves_what_an_undisturbed_one_does(process, run, exams, bundle, tmp_path):
    out = tmp_path / "out"
    arguments = ("predict", exams, "--bundle", bundle, "--batch-size", 1, "--part-size", 1, "--out")
    started = process(*arguments, out)
    while len(parts(out)) < 5:
        if started.poll() is not None:
            pytest.fail(started.communicate()[1])
    started.send_signal(signal.SIGKILL)
    started.communicate()
    done = len(parts(out))
    assert done < 40
    # As a kill in the midst of writing leaves it.
    (out / "findings/listing=0000/.part-00039.parquet.1.writing").write_bytes(b"PAR1")
    resumed = run(*arguments, out, "--resume")
    assert f"{done} recordings were done before, {40 - done} now" in resumed.stderr
    run(*arguments, tmp_path / "undisturbed")
    assert rows(out / "findings") == rows(tmp_path / "undisturbed/findings")
    assert not list(out.rglob("*.writing"))
    assert not list(out.rglob("attempts/*/*"))


def test_records_that_came_since_are_a_listing_of_their_own(run, ecgs, bundle, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    write_wfdb(source, [synthetic_ecg(seed=1, record="b")])
    arguments = ("predict", source, "--bundle", bundle, "--out", out, "--resume")
    assert run(*arguments).exit_code == 0
    write_wfdb(source, [synthetic_ecg(seed=2, record="a"), synthetic_ecg(seed=3, record="c")])
    result = run(*arguments)
    assert (result.exit_code, "1 recordings were done before, 2 now" in result.stderr) == (0, True)
    assert parts(out) == ["findings/listing=0000/part-00000.parquet", "findings/listing=0001/part-00000.parquet"]
    assert [row["record"] for row in rows(out / "findings")] == ["b", "a", "c"]
    assert "3 recordings were done before, 0 now" in run(*arguments).stderr


def test_failed_records_are_tried_again_when_asked_and_their_failures_forgotten(run, bundle, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    write_wfdb(source, [synthetic_ecg(seed=number, record=f"r{number}") for number in range(3)])
    good = (source / "r1.hea").read_bytes()
    (source / "r1.hea").write_text("junk\n")
    (source / "r2.hea").write_text("junk\n")
    arguments = ("predict", source, "--bundle", bundle, "--out", out, "--resume")
    assert run(*arguments).exit_code == 1
    assert [row["source"] for row in rows(out / "failed")] == [str(source / "r1.hea"), str(source / "r2.hea")]
    (source / "r1.hea").write_bytes(good)
    assert "2 of 3 recordings could not be classified" in run(*arguments).stderr
    again = run(*arguments, "--retry-failed")
    assert "1 recordings were done before, 2 now" in again.stderr
    assert "1 of 3 recordings could not be classified" in again.stderr
    assert [row["record"] for row in rows(out / "findings")] == ["r0", "r1"]
    assert [row["source"] for row in rows(out / "failed")] == [str(source / "r2.hea")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", "AF=0.3"), "thresholds of AF is 0.5, now 0.3"),
        (("--bundle", "six-findings"), 'bundle is "cheap 1", now "six-findings'),
        (("--part-size", "16"), "part_size is 8, now 16"),
        (("--rate", "500"), "options of rate is null, now 500.0"),
    ],
)
def test_a_run_of_other_settings_is_refused(run, arguments, tmp_path, options, message):
    run(*arguments)
    before = rows(tmp_path / "out")
    refused = run(*arguments, "--resume", *options)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert "run it as before, or choose another folder for --out" in refused.stderr
    assert rows(tmp_path / "out") == before


def test_a_run_over_another_source_is_refused(run, arguments, ecgs):
    run(*arguments)
    refused = run("predict", ecgs, *arguments[2:], "--resume")
    assert refused.exit_code == 2
    assert "sources is" in refused.stderr


def test_a_manifest_that_is_none_is_refused(run, arguments, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/run.json").write_text("{}")
    refused = run(*arguments, "--resume")
    assert refused.exit_code == 2
    assert "run.json: settings: Field required" in refused.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--output", "x.csv"), "with --out, results are the files in that folder"),
        (("--report", "x.html"), "with --out, results are the files in that folder"),
        (("--format", "csv"), "an archive's results are written as parquet"),
        (("--part-size", "9"), "9 is no multiple of --batch-size 4"),
        (("--prevalence", "estimate"), "estimate on a sample of it"),
        (("--actors", "2"), "give --engine ray too"),
        (("--address", "auto"), "give --engine ray too"),
        (("--engine", "ray", "--actors", "3:2"), "'3:2'; expected a number as 4, or from and to as 2:16"),
        (("--engine", "ray", "--actors", "two"), "'two'; expected a number as 4, or from and to as 2:16"),
    ],
)
def test_options_that_an_archive_does_not_take_are_refused(run, arguments, options, message):
    result = run(*arguments, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_an_engine_wants_a_folder_to_write_to(run, ecgs, bundle):
    result = run("predict", ecgs, "--bundle", bundle, "--engine", "ray")
    assert result.exit_code == 2
    assert "give --out DIR" in " ".join(result.stderr.replace("│", " ").split())


def test_a_source_without_recordings_is_a_failure_and_leaves_no_run(run, bundle, tmp_path):
    (tmp_path / "nothing").mkdir()
    result = run("predict", tmp_path / "no*", "--bundle", bundle, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"no recordings found in {tmp_path / 'no*'}" in result.stderr
    assert not (tmp_path / "out/run.json").exists()


@pytest.fixture(scope="module")
def store(exams, tmp_path_factory):
    """The exams as a prepared store, for the bundle."""
    return prepare(
        open_collection(exams, "code15"), Preparation(rate=100, window=1000), tmp_path_factory.mktemp("store") / "store"
    )


def test_a_prepared_store_is_read_as_its_recordings_are_and_by_both_ways_of_writing(run, store, bundle, tmp_path):
    out, one = tmp_path / "out", tmp_path / "one.parquet"
    options = ("--bundle", bundle, "--batch-size", 4)
    assert run("predict", store.path, *options, "--out", out, "--part-size", 8).exit_code == 1
    assert run("predict", store.path, *options, "--output", one).exit_code == 1
    expected = parquet.read_table(one).drop_columns("error").to_pylist()
    assert rows(out / "findings") == [row for row in expected if row["bundle"]]
    assert {row["source"] for row in expected} == {str(store.path)}
    failed = rows(out / "failed")
    assert [row["record"] for row in failed] == list(store.manifest.unreadable)
    assert "could not be read when the store was made: " in failed[0]["error"]


def test_what_a_store_says_differs_from_its_recordings_by_no_more_than_its_step(run, store, exams, bundle, tmp_path):
    tables = []
    for source in (exams, store.path):
        path = tmp_path / f"{len(tables)}.parquet"
        run("predict", source, "--bundle", bundle, "--output", path)
        tables.append(parquet.read_table(path).to_pandas().dropna(subset="bundle").set_index("record"))
    of_files, of_store = tables
    of_store = of_store.loc[of_files.index]
    for name in (column for column in of_files if column.endswith("_probability")):
        # The bundle's network weighs each lead's mean absolute value by up to about 10 to the mV; a step is 0.001 mV.
        assert np.abs(of_files[name] - of_store[name]).max() < 0.005
    for of_file, stored in zip(of_files["warnings"], of_store["warnings"], strict=True):
        assert set(stored) - set(of_file) <= {"cropped: the middle 10 s of 10.24 s are in the store"}
        assert set(of_file) <= set(stored)


def test_a_store_that_was_prepared_otherwise_is_refused(run, exams, bundle, tmp_path):
    other = prepare(open_collection(exams, "code15"), Preparation(rate=200, window=1000), tmp_path / "other")
    refused = run("predict", other.path, "--bundle", bundle)
    assert refused.exit_code == 2
    assert "prepared otherwise (rate is 200.0, the bundle reads 100.0)" in refused.stderr


@pytest.mark.parametrize("option", [("--measure",), ("--report", "x.html")])
def test_a_store_is_not_measured_or_drawn(run, store, bundle, option):
    refused = run("predict", store.path, "--bundle", bundle, *option)
    assert refused.exit_code == 2
    assert "name the recordings that it was made from" in " ".join(refused.stderr.replace("│", " ").split())
