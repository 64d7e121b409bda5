"""`ecoscale demo`: from files to a report, without a download."""

import pytest


@pytest.fixture
def shown(run, bundle, tmp_path):
    result = run("demo", "--bundle", bundle, "--out", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    return result


def test_it_classifies_seven_synthetic_ecgs_and_a_real_one_and_draws_them(shown, tmp_path):
    rows = {line.split()[0]: line for line in shown.stdout.splitlines()[1:9]}
    cases = ("normal", "AF", "LBBB", "RBBB", "1dAVb", "SB", "ST")
    dicom = str(tmp_path / "demo" / "ecgs" / "pydicom-waveform_ecg.dcm")
    assert list(rows) == [*(f"synthetic-{case}" for case in cases), dicom]
    assert "not classified" not in shown.stdout
    assert "8 ECGs read and classified in" in shown.stderr
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("<svg") == 8


def test_what_else_lies_in_its_folder_is_neither_deleted_nor_classified(run, bundle, tmp_path, shown):
    own = tmp_path / "demo" / "ecgs" / "own.hea"
    own.write_text("junk")
    again = run("demo", "--bundle", bundle, "--out", tmp_path / "demo")
    assert (again.exit_code, again.stdout) == (0, shown.stdout)
    assert own.read_text() == "junk"


def test_a_file_in_place_of_its_folder_is_refused(run, bundle, tmp_path):
    (tmp_path / "demo").touch()
    result = run("demo", "--bundle", bundle, "--out", tmp_path / "demo")
    assert result.exit_code == 2
    assert "is a file" in " ".join(result.stderr.replace("│", " ").split())
