import numpy as np
import pytest

from ecoscale.converting import convert, plan_conversions
from ecoscale.datasets.layouts import random_stretches, write_code15, write_holter
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import FormatError
from ecoscale.formats import read_ecg
from ecoscale.formats.long_records import LongRecord, open_long_record
from ecoscale.formats.writing import write_ecg, write_long_record


def ecg(seed=0):
    return ECG(np.random.default_rng(seed).integers(-2000, 2000, (12, 500)) / 1000, 500)


@pytest.fixture
def tree(tmp_path):
    """Recordings in folders, two of them of one name."""
    records = tmp_path / "records"
    for name in ("1/a.hea", "1/a.dcm", "1/b.hea", "2/deep/a.hea", "2/Holter 7.edf.dcm"):
        write_ecg(ecg(), records / name)
    return records


def outputs(folder, paths, form="parquet"):
    return [str(each.output.relative_to(folder)) for each in plan_conversions(paths, folder, form)]


def test_a_folder_keeps_its_tree_and_names_that_would_be_one_are_told_apart(tree, tmp_path):
    found = ["1/a.parquet", "1/a-hea.parquet", "1/b.parquet", "2/Holter 7.edf.parquet", "2/deep/a.parquet"]
    assert outputs(tmp_path / "out", [tree]) == found


def test_files_and_patterns_keep_their_place_below_what_they_have_in_common(tree, tmp_path):
    out = tmp_path / "out"
    assert outputs(out, [f"{tree}/**/*.hea"]) == ["1/a.parquet", "1/b.parquet", "2/deep/a.parquet"]
    assert outputs(out, [f"{tree}/1/*.hea"]) == ["a.parquet", "b.parquet"]
    assert outputs(out, [tree / "1/a.hea", tree / "2/deep/a.hea"]) == ["1/a.parquet", "2/deep/a.parquet"]
    assert outputs(out, [tree / "1/a.hea"]) == ["a.parquet"]


def test_names_become_such_as_a_wfdb_record_may_have(tree, tmp_path):
    assert outputs(tmp_path / "out", [tree / "2"], "wfdb") == ["Holter_7_edf.hea", "deep/a.hea"]


def test_the_recordings_of_a_file_of_several_are_named_after_both(tmp_path):
    write_code15(tmp_path / "code15", 3, seed=3, n_parts=1, compression=None)
    conversions = list(plan_conversions([tmp_path / "code15" / "exams_part0.hdf5"], tmp_path / "out", "wfdb"))
    assert len(conversions) == 3
    for each in conversions:
        assert each.output.name == f"exams_part0-{each.recording.record}.hea"
        done = convert(each)
        if done.error is None:
            # It is no integers, and there is room for steps of 0.5 uV.
            assert any(note.startswith("rounded: ") for note in done.notes)
            np.testing.assert_allclose(read_ecg(each.output).signal, each.recording.read().signal, atol=0.00026)
    assert sum("all zeros" in (convert(each).error or "") for each in conversions) == 1


def test_an_output_that_is_there_is_skipped_unless_it_shall_be_overwritten(tree, tmp_path):
    (conversion,) = plan_conversions([tree / "1/b.hea"], tmp_path / "out", "wfdb")
    assert not convert(conversion).skipped
    conversion.output.write_text("junk")
    assert convert(conversion).skipped
    assert conversion.output.read_text() == "junk"
    assert not convert(conversion, overwrite=True).skipped
    np.testing.assert_array_equal(read_ecg(conversion.output).signal, ecg().signal)


def test_samples_without_the_header_that_would_make_them_a_record_are_not_overwritten_unasked(tree, tmp_path):
    (conversion,) = plan_conversions([tree / "1/b.hea"], tmp_path / "out", "wfdb")
    convert(conversion)
    conversion.output.unlink()
    assert "b.dat: is there, and b.hea beside it is not; --overwrite replaces it" in (convert(conversion).error or "")
    assert convert(conversion, overwrite=True).error is None


def test_a_recording_is_never_its_own_output(tree):
    (conversion,) = plan_conversions([tree / "1/b.hea"], tree / "1", "wfdb")
    before = conversion.recording.path.read_bytes()
    assert "this is the recording itself; choose another folder" in (convert(conversion, overwrite=True).error or "")
    assert conversion.recording.path.read_bytes() == before


def test_a_recording_that_cannot_be_read_or_written_says_why_and_leaves_nothing(tree, tmp_path):
    (tree / "1" / "b.dat").write_bytes(b"short")
    (conversion,) = plan_conversions([tree / "1/b.hea"], tmp_path / "out", "edf")
    assert "b.dat has 5 bytes" in (convert(conversion).error or "")
    assert not (tmp_path / "out").exists()


def test_any_of_the_twelve_leads_are_converted(tmp_path):
    write_ecg(ecg().select(["V1", "V5"]), tmp_path / "watch.hea")
    (conversion,) = plan_conversions([tmp_path], tmp_path / "out", "csv")
    assert convert(conversion).error is None
    assert read_ecg(conversion.output, fewer_leads=True).leads == ("V1", "V5")


@pytest.fixture(scope="module")
def holter(tmp_path_factory):
    """Seventy minutes of two leads at 100 Hz."""
    folder = tmp_path_factory.mktemp("holter")
    hours = 70 / 60
    return write_holter(folder, random_stretches(hours, 1), hours=hours, rate=100, leads=("II", "V1"), seed=1)


def test_a_record_of_more_than_an_hour_is_written_in_pieces_as_wfdb(holter, tmp_path):
    (conversion,) = plan_conversions([holter], tmp_path / "out", "wfdb")
    assert convert(conversion).error is None
    before, after = open_long_record(holter), open_long_record(conversion.output)
    assert (after.n_samples, after.rate, after.leads) == (before.n_samples, before.rate, before.leads)
    for one, other in zip(before.pieces(), after.pieces(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert after.remarks == []


def test_a_record_that_turns_out_shorter_while_it_is_written_leaves_nothing(tmp_path):
    def read(n_samples, _):
        yield ecg()

    shrunk = LongRecord("growing.hea", "growing", 500.0, LEADS, 1000, None, (), read)
    with pytest.raises(FormatError, match=r"growing.hea: 500 samples were read of 1000"):
        write_long_record(shrunk, tmp_path / "out.hea")
    assert list(tmp_path.iterdir()) == []


def test_a_record_of_more_than_an_hour_is_refused_by_what_is_written_from_memory(holter, tmp_path):
    (conversion,) = plan_conversions([holter], tmp_path / "out", "edf")
    assert "1.2 h long; edf is written from memory" in (convert(conversion).error or "")
    assert "convert it to wfdb" in (convert(conversion).error or "")
