"""The mapping of each collection's codes onto findings: one table, and what it makes of a record's codes."""

import pytest

from ecoscale.datasets import ABSENT, PRESENT, UNKNOWN, label_matrix, mappings
from ecoscale.errors import DatasetError
from ecoscale.findings import CHALLENGE_FINDINGS, CODE_FINDINGS, FINDINGS

SIX = [finding.name for finding in CODE_FINDINGS]
SCHEMES = ("AHA", "CHAGAS", "CODE", "LUDB", "SCP", "SNOMED")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_row_of_the_table_has_a_meaning_and_a_reason(scheme):
    for row in mappings(scheme):
        assert row.finding in FINDINGS
        assert row.scheme == scheme
        assert row.code
        assert row.meaning
        assert len(row.reason) > 10
        assert row.value in (PRESENT, UNKNOWN)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_code_says_one_thing_about_a_finding(scheme):
    pairs = [(row.finding, row.code) for row in mappings(scheme)]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("finding", CHALLENGE_FINDINGS, ids=lambda finding: finding.name)
def test_each_snomed_code_of_a_finding_says_that_it_is_present_and_of_no_other(finding):
    names = [other.name for other in CHALLENGE_FINDINGS]
    for labels in label_matrix([{code} for code in finding.codes], names, "SNOMED"):
        assert [name for name, value in zip(names, labels, strict=True) if value == PRESENT] == [finding.name]


@pytest.mark.parametrize(
    ("code", "open_"),
    [
        ("6374002", "RBBB LBBB IRBBB"),  # bundle branch block
        ("59118001", "BBB"),
        ("426177001", "Brady"),  # sinus bradycardia
        ("195080001", "AF AFL"),  # fibrillation and flutter
        ("270492004", "LPR"),  # first degree block
        ("164884008", "PVC"),  # ventricular ectopics
        ("251170000", "PAC"),  # blocked
        ("164934002", "TInv"),  # T wave abnormal
        ("59931005", "TAb"),  # T wave inversion
        ("251266004", "PR"),  # ventricular pacing pattern
        ("195042002", ""),  # second degree block
        ("27885002", ""),  # third degree block
        ("426783006", ""),  # sinus rhythm
    ],
)
def test_what_a_snomed_code_leaves_open_is_unknown(code, open_):
    names = [finding.name for finding in CHALLENGE_FINDINGS]
    (labels,) = label_matrix([{code}], names, "SNOMED")
    assert [name for name, value in zip(names, labels, strict=True) if value == UNKNOWN] == open_.split()


@pytest.mark.parametrize("code", ["314208002", "282825002", "426749004"])
def test_rapid_paroxysmal_and_chronic_fibrillation_are_fibrillation(code):
    assert label_matrix([{code}], ["AF", "AFL"], "SNOMED").tolist() == [[PRESENT, ABSENT]]


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        *[
            ("AFLT", "AFL"),
            ("IRBBB", "IRBBB"),
            ("LAFB", "LAnFB"),
            ("LVOLT", "LQRSV"),
            ("IVCD", "NSIVCB"),
            ("SR", "NSR"),
        ],
        *[("PAC", "PAC"), ("PACE", "PR"), ("PVC", "PVC"), ("LPR", "LPR"), ("LNGQT", "LQT"), ("QWAVE", "QAb")],
        *[("SARRH", "SA"), ("NDT", "TAb"), ("INVT", "TInv"), ("AFIB", "AF"), ("CRBBB", "RBBB"), ("1AVB", "1dAVb")],
    ],
)
def test_a_statement_of_ptbxl_says_the_same_as_the_challenges_class(statement, finding):
    names = sorted({row.finding for row in mappings("SCP")} & {finding.name for finding in CHALLENGE_FINDINGS})
    (labels,) = label_matrix([{statement}], names, "SCP")
    assert [name for name, value in zip(names, labels, strict=True) if value == PRESENT] == [finding]


def test_what_ptbxl_has_no_statement_for_is_not_mapped():
    mapped = {row.finding for row in mappings("SCP")}
    unmapped = [finding.name for finding in CHALLENGE_FINDINGS if finding.name not in mapped]
    assert unmapped == ["BBB", "Brady", "LAD", "PRWP", "RAD"]


@pytest.mark.parametrize(
    ("scheme", "codes"),
    [
        ("AHA", ["82", "106", "104", "22", "21", "50"]),
        (
            "LUDB",
            [
                "i degree av block",
                "complete right bundle branch block",
                "complete left bundle branch block",
                "sinus bradycardia",
                "sinus tachycardia",
                "atrial fibrillation",
            ],
        ),
        ("CODE", ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]),
        ("SCP", ["1AVB", "CRBBB", "CLBBB", "SBRAD", "STACH", "AFIB"]),
        ("SNOMED", ["270492004", "59118001", "164909002", "426177001", "427084000", "164889003"]),
        ("SNOMED", ["270492004", "713427006", "733534002", "426177001", "427084000", "164889003"]),
    ],
)
def test_each_scheme_gives_each_of_the_six_alone(scheme, codes):
    labels = label_matrix([[code] for code in codes], SIX, scheme)
    assert labels.dtype == "int8"
    # Nothing but the diagonal: none of these codes says anything about another finding.
    assert labels.tolist() == [[PRESENT if row == column else ABSENT for column in range(6)] for row in range(6)]


@pytest.mark.parametrize(
    ("scheme", "code"),
    [("SCP", "IRBBB"), ("SCP", "ILBBB"), ("SCP", "AFLT"), ("SCP", "2AVB"), ("SNOMED", "164890007"), ("SNOMED", "1")],
)
def test_what_is_near_a_finding_but_another_is_absent(scheme, code):
    assert label_matrix([{code}], SIX, scheme).tolist() == [[ABSENT] * 6]


@pytest.mark.parametrize(("code", "finding"), [("233917008", "1dAVb"), ("426627000", "SB"), ("195080001", "AF")])
def test_a_code_that_leaves_a_finding_open_makes_it_unknown_and_nothing_else(code, finding):
    labels = dict(zip(SIX, label_matrix([{code}], SIX, "SNOMED")[0], strict=True))
    assert labels.pop(finding) == UNKNOWN
    assert set(labels.values()) == {ABSENT}


def test_present_outweighs_unknown_in_either_order():
    codes = ["233917008", "270492004"]
    assert label_matrix([codes, codes[::-1]], ["1dAVb"], "SNOMED").tolist() == [[PRESENT], [PRESENT]]


def test_findings_come_in_the_order_asked_for_and_as_often():
    assert label_matrix([{"AFIB"}, {"SBRAD", "CLBBB"}], ["AF", "SB", "AF"], "SCP").tolist() == [[1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(("codes", "shape"), [([], (0, 6)), ([[]], (1, 6)), (iter([[], []]), (2, 6))])
def test_the_matrix_has_a_row_for_each_record_and_a_column_for_each_finding(codes, shape):
    labels = label_matrix(codes, SIX, "SCP")
    assert labels.shape == shape
    assert not labels.any()


def test_no_finding_gives_no_column():
    assert label_matrix([{"AFIB"}], [], "SCP").shape == (1, 0)


def test_a_finding_without_a_code_is_refused_by_name():
    with pytest.raises(
        DatasetError, match=r"no SCP code is mapped to WPW, BBB; see ecoscale/datasets/mappings/scp.csv"
    ):
        label_matrix([{"AFIB"}], ["AF", "WPW", "BBB"], "SCP")


def test_an_unknown_scheme_is_refused_naming_those_there_are():
    with pytest.raises(DatasetError, match="coding scheme 'ICD10'; there are AHA, CHAGAS, CODE, LUDB, SCP, SNOMED"):
        mappings("ICD10")
