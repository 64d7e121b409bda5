"""Headers that state their diagnoses: found quickly, and read whatever stands around the line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.datasets.collections.snomed_headers import diagnosis_codes, headers_below
from ecoscale.errors import DatasetError

SIGNAL = "A0001 1 500 5000\nA0001.mat 16x1+24 1000.0(0)/mV 16 0 28 -1716 0 I\n"
codes = st.from_regex(r"[1-9][0-9]{5,14}", fullmatch=True)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("header") / "A0001.hea"


@given(
    own=st.lists(codes),
    mark=st.sampled_from(["#", "# ", "#\t", "##", " #"]),
    colon=st.sampled_from([":", ": ", " : "]),
    comma=st.sampled_from([",", ", ", " ,", ",,"]),
    end=st.sampled_from(["\n", "\r\n", ",\n", ""]),
    noise=st.sampled_from(["", "#Age: 74\n", "# Rx: Dx: 426783006\n", "#Dxx: 426783006\n", "# Hx: \xe4\n"]),
)
def test_the_codes_are_those_of_the_line_whatever_its_spelling(path, own, mark, colon, comma, end, noise):
    text = f"{SIGNAL}{noise}{mark}Dx{colon}{comma.join(own)}{end}"
    path.write_text(text, encoding="latin-1", newline="")
    assert diagnosis_codes(path) == frozenset(own)


@pytest.mark.parametrize("text", ["", SIGNAL, SIGNAL + "# Age: 74\n", SIGNAL + "Dx: 426783006\n"])
def test_a_header_without_the_line_has_none(path, text):
    path.write_text(text)
    assert diagnosis_codes(path) is None


@pytest.mark.parametrize("stated", ["", "Unknown", ",", "RBBB"])
def test_a_line_without_a_number_has_no_code(path, stated):
    path.write_text(f"{SIGNAL}#Dx: {stated}\n")
    assert diagnosis_codes(path) == frozenset()


def test_only_the_beginning_of_a_file_is_read(path):
    path.write_bytes(SIGNAL.encode() + b"#" + b" " * 100_000 + b"\n#Dx: 426783006\n")
    assert diagnosis_codes(path) is None


def test_a_header_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"gone.hea: the header cannot be read \(No such file"):
        diagnosis_codes(tmp_path / "gone.hea")


def test_headers_are_found_at_any_depth_by_name_without_hidden_folders(tmp_path):
    for name in ("g2/E00003.hea", "g10/E00001.hea", "E00002.hea", ".trash/E00004.hea", "g2/E00003.mat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = headers_below(tmp_path)
    assert [path.removeprefix(f"{tmp_path}/") for path in found] == ["g10/E00001.hea", "E00002.hea", "g2/E00003.hea"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere: cannot be listed \(No such file"):
        headers_below(tmp_path / "nowhere")
