import sys

import h5py
import numpy as np
import pytest

from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import EmptyError, FormatError, LeadError, MissingExtraError
from ecoscale.formats import Recording, read_ecg, read_recordings
from ecoscale.formats.code_hdf5 import CODE_TEST_LEADS, exams, settle_lead_order

# As their publisher lists them for this part, in the order of the file.
EXAMS = ["438277", "358121", "1594286", "975093", "795649", "1238362", "2969044", "2754228", "2657522", "270272"]


@pytest.fixture(scope="session")
def part(recordings):
    return recordings / "code15" / "exams_part0.hdf5"


def write(path, tracings, exam_id=None):
    with h5py.File(path, "w") as file:
        file["tracings"] = np.asarray(tracings, np.float32)
        if exam_id is not None:
            file["exam_id"] = np.asarray(exam_id)
    return path


def twelve_leads(n_exams=3, n_samples=400, seed=0):
    """(exams, samples, leads), the limb leads as the identities have them."""
    signal = np.random.default_rng(seed).normal(size=(n_exams, 8, n_samples))
    names = ("I", "II", *LEADS[6:])
    whole = [ECG(exam, 400, names).derive_limb_leads().signal.T for exam in signal]
    return np.array(whole)


def test_every_exam_of_a_real_part_is_read_by_its_id(part):
    assert exams(part) == EXAMS
    with h5py.File(part) as file:
        tracings = file["tracings"][()]
    for row, exam in enumerate(EXAMS):
        ecg = read_ecg(part, record=exam)
        assert (ecg.record, ecg.rate, ecg.leads, ecg.source) == (exam, 400, LEADS, str(part))
        padding = (4096 - ecg.n_samples) // 2
        np.testing.assert_array_equal(ecg.signal, tracings[row].T[:, padding : padding + ecg.n_samples])


def test_zeros_on_both_sides_are_removed_with_a_note(part):
    short, whole = read_ecg(part, record="438277"), read_ecg(part, record=1594286)
    assert (short.n_samples, whole.n_samples) == (2934, 4096)
    assert short.notes == ("padding_removed: 1.45 s at the start and 1.45 s at the end were zeros in every lead",)
    assert whole.notes == ()


@pytest.mark.parametrize("record", ["0", "17", "438277.0", "-1", "", "9" * 40])
def test_an_exam_that_is_not_in_the_file_is_refused(part, record):
    with pytest.raises(FormatError, match=r"exams_part0.hdf5: exam id .*is not in the file; expected one of its 10"):
        read_ecg(part, record=record)


def test_which_exam_must_be_said_where_there_are_several(part):
    with pytest.raises(FormatError, match="holds 10 exams; give record="):
        read_ecg(part)


def test_the_only_exam_of_a_file_needs_no_id(tmp_path):
    path = write(tmp_path / "a.hdf5", np.concatenate([twelve_leads(1), np.zeros((1, 400, 12))]), [7, 0])
    assert read_ecg(path).record == "7"


def test_an_exam_of_zeros_is_refused(tmp_path):
    tracings = twelve_leads()
    tracings[1] = 0
    path = write(tmp_path / "a.hdf5", tracings, [5, 6, 7])
    with pytest.raises(FormatError, match="exam 6 is all zeros"):
        read_ecg(path, record="6")


def test_an_id_that_occurs_twice_is_refused(tmp_path):
    with pytest.raises(FormatError, match="'5' is there 2 times"):
        read_ecg(write(tmp_path / "a.hdf5", twelve_leads(), [5, 5, 7]), record="5")


@pytest.mark.parametrize("order", [LEADS, CODE_TEST_LEADS])
def test_the_identities_tell_the_lead_order_of_a_file_without_ids(tmp_path, order):
    tracings = twelve_leads()
    path = write(tmp_path / "ecg_tracings.hdf5", tracings[:, :, [LEADS.index(lead) for lead in order]])
    assert exams(path) == ["0", "1", "2"]
    ecg = read_ecg(path, record="1")
    np.testing.assert_allclose(ecg.signal, tracings[1].T, rtol=1e-5)
    assert ecg.notes == (f"lead_order: {' '.join(order[:6])} V1..V6, by the Goldberger identities in exam 1",)


def test_real_tracings_tell_their_lead_order(part, tmp_path):
    with h5py.File(part) as file:
        tracings = file["tracings"][:-1]
    path = write(tmp_path / "ecg_tracings.hdf5", tracings[:, :, [LEADS.index(lead) for lead in CODE_TEST_LEADS]])
    for row in range(len(tracings)):
        np.testing.assert_array_equal(
            read_ecg(path, record=row).signal, read_ecg(part, record=EXAMS[row]).signal, err_msg=EXAMS[row]
        )


def test_an_exam_that_does_not_tell_its_lead_order_has_that_of_its_neighbours(tmp_path):
    tracings = twelve_leads(5)[:, :, [LEADS.index(lead) for lead in CODE_TEST_LEADS]]
    tracings[2, :, :6] = np.random.default_rng(1).normal(size=(400, 6))
    ecg = read_ecg(write(tmp_path / "a.hdf5", tracings), record=2)
    assert ecg.notes[0].endswith("by the Goldberger identities in 4 of the file's first 5 exams")
    np.testing.assert_array_equal(ecg.select(["aVL"]).signal[0], np.float32(tracings[2, :, 3]))


def test_a_file_that_does_not_tell_its_lead_order_needs_it_given(tmp_path):
    path = write(tmp_path / "a.hdf5", np.random.default_rng(1).normal(size=(2, 400, 12)))
    with pytest.raises(FormatError, match=r"neither I II III aVR.* nor I II III aVL.* fits.*leads="):
        read_ecg(path, record=0)
    assert read_ecg(path, record=0, leads=CODE_TEST_LEADS).leads == LEADS


@pytest.mark.parametrize("order", [LEADS, CODE_TEST_LEADS])
def test_the_lead_order_of_a_whole_file_is_settled_with_its_evidence(part, tmp_path, order):
    """Of nine real exams and an empty one: median misfit 0.013 in their order, 1.54 in the other."""
    with h5py.File(part) as file:
        tracings = file["tracings"][:-1][:, :, [LEADS.index(lead) for lead in order]]
    tracings[3] = 0
    found = settle_lead_order(write(tmp_path / "ecg_tracings.hdf5", tracings))
    (other,) = {LEADS, CODE_TEST_LEADS} - {order}
    assert (found.leads, found.n_exams) == (order, 10)
    assert (found.fits[order], found.fits[other]) == (9, 0)
    assert found.misfits[order] < 0.03
    assert found.misfits[other] > 1.4


def test_only_a_sample_spread_over_the_file_is_asked_for_the_lead_order(tmp_path):
    tracings = twelve_leads(40, 50)
    tracings[1:] = tracings[1:, :, [LEADS.index(lead) for lead in CODE_TEST_LEADS]]
    found = settle_lead_order(write(tmp_path / "a.hdf5", tracings), 4)
    assert (found.leads, found.n_exams) == (CODE_TEST_LEADS, 4)
    assert found.fits == {LEADS: 1, CODE_TEST_LEADS: 3}


@pytest.mark.parametrize("tracings", [np.zeros((3, 50, 12)), np.random.default_rng(1).normal(size=(2, 400, 12))])
def test_a_lead_order_that_no_exam_tells_is_not_settled(tmp_path, tracings):
    found = settle_lead_order(write(tmp_path / "a.hdf5", tracings))
    assert found.leads is None
    assert set(found.fits.values()) == {0}


def test_the_order_given_for_a_file_without_ids_is_that_of_every_exam_in_it(tmp_path):
    path = write(tmp_path / "a.hdf5", twelve_leads())
    ecg = read_ecg(path, record=0, leads=CODE_TEST_LEADS)
    assert ecg.notes == ()
    assert any(found.startswith("inconsistent_leads: aVR differs") for found in ecg.check())
    with pytest.raises(FormatError, match="but exam 0 holds I II III aVR"):
        read_ecg(path, record=0, leads=LEADS[::-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 500}, "400 Hz, but rate=500"),
        ({"unit": "uV"}, "'mV', but unit='uV'"),
        ({"leads": LEADS[::-1]}, "V6 V5"),
    ],
)
def test_what_contradicts_the_publishers_documentation_is_refused(part, options, message):
    with pytest.raises(FormatError, match=message):
        read_ecg(part, record="438277", **options)
    assert read_ecg(part, record="438277", rate=400, unit="mV", leads=LEADS).rate == 400


def test_an_unknown_lead_given_is_refused_by_name(part):
    with pytest.raises(LeadError, match="MLII"):
        read_ecg(part, record="438277", leads=["MLII"])


@pytest.mark.parametrize("shape", [(3, 400, 8), (3, 400), (0, 400, 12), (3, 0, 12)])
def test_tracings_of_another_shape_are_refused(tmp_path, shape):
    with pytest.raises(FormatError, match=r"'tracings' is float32 of shape .*expected floats, \(exams, samples, 12\)"):
        read_ecg(write(tmp_path / "a.hdf5", np.zeros(shape)), record=0)


@pytest.mark.parametrize("ids", [[1, 2], [1.0, 2.0, 3.0]])
def test_ids_that_do_not_fit_the_tracings_are_refused(tmp_path, ids):
    with pytest.raises(FormatError, match=r"'exam_id'.*one integer for each of the 3 tracings"):
        read_ecg(write(tmp_path / "a.hdf5", twelve_leads(), ids), record=1)


def test_another_hdf5_is_refused_naming_what_it_holds(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["val"] = np.zeros(3)
        file.create_group("meta")
    assert exams(tmp_path / "a.mat") is None
    with pytest.raises(FormatError, match=r"without a dataset 'tracings' \(it has meta, val\)"):
        read_ecg(tmp_path / "a.mat")


@pytest.mark.parametrize("length", [9, 100, 2000, 100_000])
def test_a_file_that_is_cut_off_is_refused(part, tmp_path, length):
    (tmp_path / "cut.hdf5").write_bytes(part.read_bytes()[:length])
    with pytest.raises(FormatError, match=r"cut.hdf5"):
        read_ecg(tmp_path / "cut.hdf5", record="438277")


def test_without_h5py_the_extra_to_install_is_named(part, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"ecoscale\[formats\]"):
        read_ecg(part, record="438277")


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"chunks": (1, 400, 12), "compression": "gzip"},
        {"chunks": (1, 400, 12), "compression": "gzip", "shuffle": True},
        {"chunks": (1, 400, 12), "compression": "gzip", "fletcher32": True},
        {"chunks": (2, 100, 12), "compression": "gzip"},
        {"chunks": (1, 400, 12), "compression": "lzf"},
        {"chunks": (1, 400, 12)},
    ],
    ids=str,
)
@pytest.mark.parametrize("isal", [True, False])
def test_however_the_tracings_are_packed_they_are_read_alike(tmp_path, monkeypatch, layout, isal):
    if not isal:
        monkeypatch.setitem(sys.modules, "isal", None)
        monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    tracings = twelve_leads().astype(np.float32)
    with h5py.File(tmp_path / "exams.hdf5", "w") as file:
        file["exam_id"] = [7, 8, 9]
        file.create_dataset("tracings", data=tracings, **layout)
    for tracing, record in zip(tracings, "789", strict=True):
        np.testing.assert_array_equal(read_ecg(tmp_path / "exams.hdf5", record=record).signal, tracing.T)


def test_a_chunk_that_was_never_written_is_an_empty_exam(tmp_path):
    with h5py.File(tmp_path / "exams.hdf5", "w") as file:
        file["exam_id"] = [7, 8]
        file.create_dataset("tracings", (2, 400, 12), np.float32, chunks=(1, 400, 12), compression="gzip")
    with pytest.raises(EmptyError, match="exam 8 is all zeros"):
        read_ecg(tmp_path / "exams.hdf5", record="8")


def test_a_damaged_chunk_is_refused_and_the_others_are_read(tmp_path):
    path = tmp_path / "exams.hdf5"
    tracings = twelve_leads().astype(np.float32)
    with h5py.File(path, "w") as file:
        file["exam_id"] = [7, 8, 9]
        file.create_dataset("tracings", data=tracings, chunks=(1, 400, 12), compression="gzip")
        place = file["tracings"].id.get_chunk_info(1).byte_offset
    with path.open("r+b") as file:
        file.seek(place + 100)
        file.write(b"\xff" * 200)
    recordings = [Recording(path, record) for record in "789"]
    first, second, third = read_recordings(recordings)
    assert isinstance(second, FormatError)
    assert "exams.hdf5: the HDF5 file cannot be read" in str(second)
    np.testing.assert_array_equal(first.signal, tracings[0].T)
    np.testing.assert_array_equal(third.signal, tracings[2].T)
