"""The PhysioNet Challenges 2020 and 2021: eight sources, each with what it annotates and what it does not."""

import shutil

import numpy as np
import pytest
from scipy.io import loadmat

from ecoscale.datasets import (
    ABSENT,
    PRESENT,
    UNKNOWN,
    Challenge2020,
    Challenge2021,
    Chapman,
    open_collection,
)
from ecoscale.datasets.collections.challenge import SOURCES_2020, SOURCES_2021
from ecoscale.datasets.collections.challenge_codes import challenge_codes, never_stated, scored_classes
from ecoscale.datasets.layouts import write_challenge
from ecoscale.datasets.vocabulary import unannotated
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError
from ecoscale.findings import CHALLENGE_FINDINGS, CODE_FINDINGS

ALL = [finding.name for finding in CHALLENGE_FINDINGS]
SIX = [finding.name for finding in CODE_FINDINGS]
SOURCES = [source.folder for source in SOURCES_2021]
N = 5

# What each source annotates, by hand from the published counts.
ANNOTATED = {
    "cpsc_2018": "1dAVb RBBB LBBB AF NSR PAC",
    "cpsc_2018_extra": "1dAVb RBBB LBBB SB ST AF AFL Brady IRBBB NSIVCB NSR PAC PR PVC LQT QAb RAD SA TAb TInv",
    "st_petersburg_incart": "RBBB ST AF BBB Brady NSIVCB PAC SA TInv",
    "ptb": "ST AF AFL BBB NSR",
    "ptb-xl": "1dAVb RBBB LBBB SB ST AF AFL IRBBB LAD LAnFB LQRSV NSIVCB NSR PAC PR LPR LQT QAb RAD SA TAb TInv",
    "georgia": "1dAVb RBBB LBBB SB ST AF AFL BBB Brady IRBBB LAD LAnFB LQRSV NSIVCB NSR PAC PVC LQT QAb RAD SA TAb "
    "TInv",
    "chapman_shaoxing": "1dAVb RBBB LBBB SB ST AF AFL LAD LQRSV NSIVCB NSR PAC PVC LPR LQT QAb RAD TAb TInv",
    "ningbo": "1dAVb RBBB LBBB SB ST AFL BBB Brady IRBBB LAD LAnFB LQRSV NSIVCB NSR PAC PR PRWP PVC LPR LQT QAb RAD SA "
    "TAb TInv",
}
# A few headers of each: what they show, and what their codes leave open of what is annotated. All else is absent.
BY_HAND = [
    ("cpsc_2018", "A0001", "59118001", "RBBB", ""),
    ("cpsc_2018", "A0002", "426783006", "NSR", ""),
    ("cpsc_2018", "A0003", "164884008,164889003", "AF", ""),
    ("cpsc_2018", "A0004", "429622005", "", ""),
    ("cpsc_2018_extra", "Q0001", "713427006,284470004", "RBBB PAC", ""),
    ("cpsc_2018_extra", "Q0002", "195080001", "", "AF AFL"),
    ("cpsc_2018_extra", "Q0003", "233917008,427172004", "PVC", "1dAVb"),
    ("st_petersburg_incart", "I0001", "427084000,164884008", "ST", ""),
    ("st_petersburg_incart", "I0002", "426627000", "Brady", ""),
    ("ptb", "S0001", "164865005", "", ""),
    ("ptb", "S0002", "282825002", "AF", ""),
    ("ptb-xl", "HR00001", "251146004,426783006", "LQRSV NSR", ""),
    ("ptb-xl", "HR00002", "270492004,59931005", "1dAVb TInv", "LPR TAb"),
    ("georgia", "E00001", "284470004,284470004,6374002", "PAC BBB", "RBBB LBBB IRBBB"),
    ("georgia", "E00002", "17338001,426177001", "PVC SB", "Brady"),
    ("chapman_shaoxing", "JS00001", "164889003,59118001,164934002,", "AF RBBB TAb", "TInv"),
    ("chapman_shaoxing", "JS00029", "164890007,233917008", "AFL", "1dAVb"),
    ("ningbo", "JS10647", "164890007", "", "AFL"),
    ("ningbo", "JS10648", "733534002,365413008", "LBBB PRWP", "BBB"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Five records of each of the eight sources."""
    folder = tmp_path_factory.mktemp("challenge-2021")
    write_challenge(folder, N, seed=3, incart_duration=12)
    return folder


@pytest.fixture(scope="module")
def of_2020(tmp_path_factory):
    """Two records of each of the six sources, headers as first published."""
    folder = tmp_path_factory.mktemp("challenge-2020")
    sources = [source.folder for source in SOURCES_2020]
    write_challenge(folder, 2, sources=sources, seed=4, incart_duration=12, original=True)
    return folder


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-hand")
    for source, record, dx, *_ in BY_HAND:
        path = folder / "training" / source / "g1" / f"{record}.hea"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{record} 12 500 5000\n# Age: 56\n# Sex: Female\n# Dx: {dx}\n# Rx: Unknown\n")
    return Challenge2021(folder)


def test_it_is_recognised_whole_and_by_its_folder_training(whole):
    for folder in (whole, whole / "training"):
        collection = open_collection(folder)
        assert isinstance(collection, Challenge2021)
        assert len(collection) == 8 * N
        assert collection.records["part"].unique().tolist() == SOURCES
        assert collection.read("JS00002").record == "JS00002"


@pytest.mark.parametrize("source", SOURCES_2021, ids=lambda source: source.folder)
def test_one_sources_folder_opens_alone_with_the_labels_that_it_has_in_the_whole(whole, source):
    alone = open_collection(whole / "training" / source.folder, "challenge2021")
    together = Challenge2021(whole)
    own = together.records["part"] == source.folder
    assert alone.records.index.tolist() == together.records.index[own].tolist()
    np.testing.assert_array_equal(alone.labels(ALL), together.labels(ALL)[own])
    assert alone.read(source.first if source.folder != "ningbo" else "JS10647").rate == source.rate
    assert "not in this folder: its records are those of" in alone.notes[0]


def test_the_six_sources_of_2020_are_2020_and_the_two_that_2021_added_are_2021(of_2020, whole):
    assert isinstance(open_collection(of_2020), Challenge2020)
    assert isinstance(open_collection(of_2020 / "training"), Challenge2020)
    for source in ("ningbo", "chapman_shaoxing"):
        assert isinstance(open_collection(whole / "training" / source), Challenge2021)


def test_some_of_the_six_are_taken_for_2021_unless_the_name_says_otherwise(of_2020):
    assert isinstance(open_collection(of_2020 / "training" / "georgia"), Challenge2021)
    for name in ("challenge2020", "challenge2021"):
        assert len(open_collection(of_2020 / "training" / "georgia", name)) == 2


def test_records_lying_by_themselves_are_told_by_their_names(whole, tmp_path):
    for source in ("georgia", "cpsc_2018", "ptb-xl", "ningbo"):
        shutil.copytree(whole / "training" / source / "g1", tmp_path / "mine", dirs_exist_ok=True)
    mine, together = Challenge2021(tmp_path / "mine"), Challenge2021(whole)
    assert mine.records["part"].to_dict() == together.records["part"][mine.records.index].to_dict()
    where = together.records.index.get_indexer(mine.records.index)
    np.testing.assert_array_equal(mine.labels(ALL), together.labels(ALL)[where])
    shutil.copytree(whole / "training" / "georgia" / "g1", tmp_path / "georgia")
    assert isinstance(open_collection(tmp_path / "georgia"), Challenge2021)
    (tmp_path / "mine" / "E00001.hea").rename(tmp_path / "mine" / "other.hea")
    with pytest.raises(DatasetError, match=r"other.hea: not called as the records of PhysioNet/CinC Challenge 2021"):
        Challenge2021(tmp_path / "mine")


def test_2020_leaves_out_what_2021_added_and_says_so(whole):
    collection = open_collection(whole, "challenge2020")
    assert set(collection.records["part"]) == {source.folder for source in SOURCES_2020}
    assert collection.notes[0] == (
        "chapman_shaoxing, ningbo left out: not a source of PhysioNet/CinC Challenge 2020 (1.0.2)"
    )


def test_a_challenge_is_not_taken_for_chapman_nor_chapman_for_a_challenge(whole, tmp_path):
    for folder in (whole, whole / "training", *(whole / "training" / source for source in SOURCES)):
        assert not Chapman.recognises(folder)
    chapman = tmp_path / "ecg-arrhythmia" / "WFDBRecords" / "01" / "010"
    shutil.copytree(whole / "training" / "chapman_shaoxing" / "g1", chapman)
    assert isinstance(open_collection(tmp_path / "ecg-arrhythmia"), Chapman)
    for challenge in (Challenge2020, Challenge2021):
        assert not challenge.recognises(tmp_path / "ecg-arrhythmia")


def test_a_folder_called_like_a_source_with_other_files_is_not_recognised(tmp_path):
    (tmp_path / "ptb-xl" / "records100").mkdir(parents=True)
    (tmp_path / "ptb-xl" / "ptbxl_database.csv").touch()
    (tmp_path / "georgia" / "g1").mkdir(parents=True)
    (tmp_path / "georgia" / "g1" / "note.hea").touch()
    assert not Challenge2020.recognises(tmp_path)
    assert not Challenge2021.recognises(tmp_path)
    assert not Challenge2021.recognises(tmp_path / "ptb-xl")


@pytest.mark.parametrize("which", ["whole", "of_2020"])
def test_every_record_is_read_at_its_sources_rate(which, request):
    collection = open_collection(request.getfixturevalue(which))
    rates = {source.folder: source.rate for source in SOURCES_2021}
    for record, part in collection.records["part"].items():
        ecg = collection.read(record)
        assert (ecg.rate, ecg.leads, ecg.record) == (rates[part], LEADS, record)
        assert 0.3 < np.nanmax(np.abs(ecg.signal)) < 6  # mV
    assert len(collection) in (8 * N, 6 * 2)


def test_records_are_patients_of_their_own_without_folds_and_it_is_said_where_that_is_not_so(whole):
    collection = Challenge2021(whole)
    assert collection.records["patient"].tolist() == collection.records.index.tolist()
    assert set(collection.records["fold"]) == {0}
    (note,) = collection.notes
    assert "st_petersburg_incart (32), ptb (290), ptb-xl (18,885) there are fewer patients than records" in note
    assert Challenge2021(whole / "training" / "ningbo").notes[1:] == ()


def test_samples_marked_as_missing_are_said(whole):
    (note,) = Challenge2021(whole).read("JS10647").check()
    assert note.startswith("missing_samples: V6 0.2 % not a number")


def test_labels_are_those_made_by_hand(by_hand):
    labels = by_hand.labels(ALL)
    for source, record, dx, present, left_open in BY_HAND:
        expected = dict.fromkeys(ALL, UNKNOWN) | dict.fromkeys(ANNOTATED[source].split(), ABSENT)
        expected |= dict.fromkeys(left_open.split(), UNKNOWN) | dict.fromkeys(present.split(), PRESENT)
        row = labels[by_hand.records.index.get_loc(record)]
        assert dict(zip(ALL, row, strict=True)) == expected, (source, dx)


def test_what_a_source_never_states_is_unknown_there_unless_a_code_says_otherwise(by_hand):
    labels, parts = by_hand.labels(ALL), by_hand.records["part"].to_numpy()
    for source in SOURCES:
        for finding in never_stated(source):
            assert set(labels[parts == source, ALL.index(finding)]) <= {UNKNOWN, PRESENT}, (source, finding)


def test_unannotated_lists_just_the_pairs_of_source_and_finding_without_a_record():
    listed = {(source, finding) for finding in ALL for source in unannotated(finding) if source in SOURCES}
    assert listed == {(source, finding) for source in SOURCES for finding in never_stated(source)}
    assert all(len(reason) > 30 for finding in ALL for reason in unannotated(finding).values())


def test_the_published_counts_add_up():
    """Totals of the published tables."""
    totals = {code.abbreviation: sum(code.counts.values()) for code in challenge_codes().values()}
    assert len(totals) == 133
    assert {name: totals[name] for name in ("AF", "AFL", "NSR", "SB", "PRWP", "VEB", "WPW")} == {
        "AF": 5255,
        "AFL": 8374,
        "NSR": 28971,
        "SB": 18918,
        "PRWP": 638,
        "VEB": 1944,
        "WPW": 160,
    }
    assert sum(source.n_records for source in SOURCES_2021) == 88_253
    assert sum(source.n_records for source in SOURCES_2020) == 43_101


def test_26_classes_of_30_codes_are_scored_in_2021_and_24_of_27_in_2020():
    for year, n_classes, n_codes in ((2021, 26, 30), (2020, 24, 27)):
        classes = scored_classes(year)
        assert (len(classes), sum(map(len, classes.values()))) == (n_classes, n_codes)
        collection = {2020: Challenge2020, 2021: Challenge2021}[year]
        assert collection.task("scored").classes == classes
    assert set(scored_classes(2021)) - set(scored_classes(2020)) == {"BBB", "PRWP"}
    assert scored_classes(2020)["LBBB"] == {"164909002"}


def test_equivalent_codes_are_one_class_of_the_task():
    task = Challenge2021.task("scored")
    for pair in (
        ("733534002", "164909002"),
        ("713427006", "59118001"),
        ("284470004", "63593006"),
        ("427172004", "17338001"),
    ):
        first, second = task.label([{code} for code in pair])
        np.testing.assert_array_equal(first, second)
        assert np.count_nonzero(first == PRESENT) == 1


def test_the_task_takes_the_challenges_view_that_what_is_not_stated_is_absent(by_hand):
    labels = Challenge2021.task("scored").label(by_hand.records["codes"])
    assert set(labels.ravel()) == {ABSENT, PRESENT}
    flutter = by_hand.records.index.get_loc("JS10647")
    assert [name for name, value in zip(ALL, labels[flutter], strict=True) if value] == ["AFL"]


def test_the_nine_classes_of_cpsc2018_take_ventricular_ectopics_for_pvc(by_hand):
    task = Challenge2020.task("cpsc2018")
    assert task.names == ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
    records = by_hand.records.loc[["A0001", "A0002", "A0003", "A0004"], "codes"]
    shown = [" ".join(np.array(task.names)[row == PRESENT]) for row in task.label(records)]
    assert shown == ["RBBB", "Normal", "AF PVC", "STD"]
    assert (task.label([{"164865005"}]) == UNKNOWN).all()


def test_the_nine_classes_of_cpsc2018_are_all_that_the_source_states():
    stated = {code.code for code in challenge_codes().values() if code.counts["cpsc_2018"]}
    assert stated == frozenset().union(*Challenge2020.task("cpsc2018").classes.values())


def test_synthetic_records_state_what_they_show_where_the_source_states_it(whole):
    shown = write_challenge(whole, N, seed=3, incart_duration=12)
    collection = Challenge2021(whole)
    labels = dict(zip(collection.records.index, collection.labels(SIX), strict=True))
    for record, findings in shown.items():
        for name, value in zip(SIX, labels[record], strict=True):
            assert value == UNKNOWN or bool(value) == (name in findings), (record, name)


def test_the_layout_is_the_publishers(whole, of_2020):
    lines = (whole / "training" / "georgia" / "g1" / "E00001.hea").read_text().splitlines()
    assert lines[0] == "E00001 12 500 5000"
    assert lines[1].startswith("E00001.mat 16x1+24 1000.0(0)/mV 16 0 ")
    assert lines[1].endswith(" 0 I")
    assert [line.split(":")[0] for line in lines[13:]] == ["# Age", "# Sex", "# Dx", "# Rx", "# Hx", "# Sx"]
    first, second = lines[15].removeprefix("# Dx: ").split(",")[:2]
    assert first == second or len(lines[15].split(",")) > 2
    assert (whole / "training/chapman_shaoxing/g1/JS00001.hea").read_text().splitlines()[15].endswith(",")
    signal = loadmat(whole / "training" / "georgia" / "g1" / "E00001.mat")["val"]
    assert (signal.dtype, signal.shape) == (np.dtype("int16"), (12, 5000))
    lines = (of_2020 / "training" / "cpsc_2018" / "g1" / "A0001.hea").read_text().splitlines()
    assert lines[0].endswith(" 05-Feb-2020 11:39:16")
    assert lines[1].startswith("A0001.mat 16+24 1000/mV 16 0 ")
    assert [line.split(":")[0] for line in lines[13:]] == ["#Age", "#Sex", "#Dx", "#Rx", "#Hx", "#Sx"]


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_challenge(tmp_path / name, 1, sources=["georgia"], seed=seed)
    a, b, c = ((tmp_path / name / "training/georgia/g1/E00001.mat").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(("n", "sources", "message"), [(1, ["mimic"], "no source mimic"), (0, SOURCES, "0 records")])
def test_what_cannot_be_written_is_refused(tmp_path, n, sources, message):
    with pytest.raises(DatasetError, match=message):
        write_challenge(tmp_path, n, sources=sources)


def test_another_folder_is_refused_naming_the_sources(tmp_path):
    with pytest.raises(
        DatasetError, match=r"none of the folders cpsc_2018, .*, ningbo is in it, in its folder training"
    ):
        Challenge2021(tmp_path)


def test_a_record_of_another_source_is_refused_by_name(whole, tmp_path):
    shutil.copytree(whole / "training" / "georgia", tmp_path / "georgia")
    shutil.copy(whole / "training" / "ningbo" / "g1" / "JS10647.hea", tmp_path / "georgia" / "g1")
    with pytest.raises(DatasetError, match=r"JS10647.hea: not a record of georgia, which are called as E00001 is; nor"):
        Challenge2021(tmp_path)


def test_a_source_without_a_header_is_refused(tmp_path):
    (tmp_path / "training" / "georgia" / "g1").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"georgia: no WFDB headers \(\*.hea\) below it; expected g1/E00001.hea"):
        Challenge2021(tmp_path)


def test_a_record_that_occurs_in_two_folders_is_refused(whole, tmp_path):
    shutil.copytree(whole / "training" / "georgia", tmp_path / "georgia")
    shutil.copytree(tmp_path / "georgia" / "g1", tmp_path / "georgia" / "g2")
    with pytest.raises(DatasetError, match="record E00001 occurs more than once"):
        Challenge2021(tmp_path)


def test_a_header_without_a_code_leaves_every_label_unknown(whole, tmp_path):
    shutil.copytree(whole / "training" / "georgia", tmp_path / "georgia")
    path = tmp_path / "georgia" / "g1" / "E00002.hea"
    path.write_text("\n".join("# Dx: Unknown" if "Dx" in line else line for line in path.read_text().splitlines()))
    collection = Challenge2021(tmp_path)
    row = collection.records.index.get_loc("E00002")
    assert set(collection.labels(ALL)[row]) == {UNKNOWN}
