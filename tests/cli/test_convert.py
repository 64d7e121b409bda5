import pytest

from ecoscale.formats import read_ecg


def test_one_recording_becomes_the_file_that_is_named(run, ecgs, tmp_path):
    result = run("convert", ecgs / "good-AF.hea", tmp_path / "af.edf")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"1 recordings written to {tmp_path / 'af.edf'}" in result.stderr


def test_a_folder_is_converted_and_the_same_command_goes_on(run, ecgs, tmp_path):
    command = ("convert", ecgs, tmp_path / "out", "--to", "dicom")
    first = run(*command)
    assert first.exit_code == 0
    assert f"3 recordings written to {tmp_path / 'out'}" in first.stderr
    assert "no_time: when the ECG was recorded is not known" in first.stderr
    (tmp_path / "out" / "good-LBBB.dcm").unlink()
    assert "1 recordings written to" in (again := run(*command)).stderr
    assert "2 were there already" in again.stderr
    assert run(*command, "--overwrite").stderr.count("3 recordings written") == 1
    assert read_ecg(tmp_path / "out" / "good-AF.dcm").rate == 500


def test_what_cannot_be_converted_is_reported_and_the_others_go_on(run, ecgs, tmp_path):
    (tmp_path / "broken.hea").write_text("broken 12 500 5000\n")
    result = run("convert", tmp_path / "broken.hea", ecgs / "*.hea", tmp_path / "out", "--to", "wfdb")
    assert result.exit_code == 1
    assert f"not converted: {tmp_path / 'broken.hea'}: the first line of the WFDB header announces" in result.stderr
    assert "3 recordings written" in result.stderr
    assert "1 of 4 could not be converted" in result.stderr


def test_a_csv_reads_back_without_options(run, ecgs, tmp_path):
    assert run("convert", ecgs / "good-AF.hea", tmp_path / "af.csv").exit_code == 0
    assert run("convert", tmp_path / "af.csv", tmp_path / "back.hea").exit_code == 0
    assert (read_ecg(tmp_path / "back.hea").signal == read_ecg(ecgs / "good-AF.hea").signal).all()


def test_a_table_that_states_less_is_converted_with_options(run, tmp_path):
    rows = "\n".join(",".join(str(value) for value in range(number, number + 12)) for number in range(500))
    (tmp_path / "ecg.csv").write_text(rows)
    options = ("--rate", "500", "--unit", "uV", "--leads", "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6")
    assert run("convert", tmp_path / "ecg.csv", tmp_path / "ecg.hea", *options).exit_code == 0
    assert read_ecg(tmp_path / "ecg.hea").signal[0, 499] == pytest.approx(0.499)
    refused = run("convert", tmp_path / "ecg.csv", tmp_path / "other.hea")
    assert refused.exit_code == 1
    assert "does not state its rate, unit, leads" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("{ecgs}", "{out}"), "OUT has no known suffix"),
        (("{ecgs}", "{out}.edf"), "there are several recordings"),
        (("{ecgs}", "{out}.edf", "--to", "csv"), "has the suffix of edf, but --to is csv"),
        (("{ecgs}", "{ecgs}/good-AF.dat", "--to", "csv"), "is a file; give a folder"),
    ],
)
def test_a_wrong_target_is_said_before_anything_is_read(run, ecgs, tmp_path, arguments, error):
    result = run("convert", *(each.format(ecgs=ecgs, out=tmp_path / "out") for each in arguments))
    assert result.exit_code == 2
    assert error in " ".join(result.stderr.replace("│", " ").split())


def test_nothing_to_convert_is_a_failure(run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    result = run("convert", tmp_path / "empty" / "*.hea", tmp_path / "out", "--to", "csv")
    assert result.exit_code == 1
    assert "no such file matches this pattern" in result.stderr
