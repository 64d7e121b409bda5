import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import read_ecg

HEAVY = ("wfdb", "pydicom", "h5py", "pandas", "scipy", "torch", "defusedxml", "sierraecg")


def test_importing_the_readers_imports_no_format_library():
    loaded = f"import sys, ecoscale.formats; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"ecg.dcm: no such file, and no WFDB header ecg.dcm.hea"):
        read_ecg(tmp_path / "ecg.dcm")


def test_a_pattern_that_matches_nothing_is_refused_as_one(tmp_path):
    with pytest.raises(FormatError, match="no such file matches this pattern"):
        read_ecg(tmp_path / "*.dcm")


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", ""])
def test_a_path_that_cannot_be_is_refused(path):
    with pytest.raises(FormatError):
        read_ecg(path)


def test_a_folder_is_refused_naming_what_lists_it(tmp_path):
    with pytest.raises(FormatError, match="a folder, not a recording; find_recordings"):
        read_ecg(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.hea").touch()
    with pytest.raises(FormatError, match=r"a.hea: the file is empty"):
        read_ecg(tmp_path / "a.hea")


def test_prose_is_refused_naming_the_formats_that_are_read(recordings):
    with pytest.raises(
        FormatError, match=r"LICENSE.txt: .*text that begins 'Creative Commons.*Formats read: WFDB.*DICOM"
    ):
        read_ecg(recordings / "ptbxl-native" / "LICENSE.txt")


def test_a_header_in_name_only_is_told_what_its_first_line_should_be(tmp_path):
    (tmp_path / "a.hea").write_text("Dear reader,\nthis is not a header.\n")
    with pytest.raises(
        FormatError, match=r"first line of the WFDB header is 'Dear reader,'; expected 'RECORD N_SIGNALS"
    ):
        read_ecg(tmp_path / "a.hea")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<?xml version='1.0'?><ClinicalDocument/>", "XML whose root element is <ClinicalDocument>"),
        (b"%PDF-1.7\n\xe2\xe3\xcf\xd3", "PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "bytes 89 50 4e 47"),
        (bytes(range(256)), "not a format that is known"),
    ],
)
def test_a_foreign_file_is_refused_saying_what_it_is(tmp_path, data, message):
    (tmp_path / "ecg").write_bytes(data)
    with pytest.raises(FormatError, match=f"ecg: .*{message}.*Formats read"):
        read_ecg(tmp_path / "ecg")


MAGIC = [
    b"",
    bytes(128) + b"DICM",
    bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00\xb0\x00\x00\x00\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00",
    b"\x89HDF\r\n\x1a\n",
    b"\x89HDF\r\n\x1a\n\x00\x00\x00\x00\x00\x08\x08\x00",
    b"\x93NUMPY\x01\x00v\x00",
    b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (12, 5), }",
    b"MATLAB 5.0 MAT-file",
    b"<?xml version='1.0'?><AnnotatedECG><component>",
    b"<RestingECG>",
    b"\xff\xfe<\x00r\x00e\x00s\x00",
    b'{"resourceType": "Observation"}',
    b'{"signal": [[',
    b"MATLAB 7.3 MAT-file",
    b"0       " + bytes(176) + b"512     " + bytes(60) + b"1   ",
    b"ISHNE1.0",
    bytes(8) + b"\0\0\x88\0\0\0\x14\x14SCPECG",
    b"PK\x03\x04",
    b"\x1f\x8b\x08\x00",
    b"rec 1 500 10\n",
    b"rec 1 500 10\nrec.dat 16 1000/mV 16 0 0 0 0 I\n",
    b"I,II,III\n",
    b"1,2,3\n4,5,6\n",
    b"#",
]


@settings(max_examples=300, deadline=None)
@given(
    magic=st.sampled_from(MAGIC),
    data=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    name=st.sampled_from(["rec", "rec.hea", "rec.dat", "rec.mat", "rec.dcm", "rec.npy", "rec.csv"]),
    stated=st.booleans(),
)
def test_no_bytes_raise_anything_but_a_reason(magic, data, name, stated):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(magic + data)
        with pytest.raises(EcoscaleError, match="rec"):
            read_ecg(path, **({"rate": 500, "unit": "mV", "leads": ["I", "II", "V1"]} if stated else {}))
