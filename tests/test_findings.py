"""The vocabulary: each finding has one name, and is found under every other that collections write for it."""

import sys
from subprocess import run

import pytest

from ecoscale.errors import DatasetError
from ecoscale.findings import CHALLENGE_FINDINGS, CODE_FINDINGS, FINDINGS, PTBXL_SUPERCLASSES, named_finding


def test_the_six_the_five_and_the_26_keep_their_names_and_order():
    assert " ".join(finding.name for finding in CODE_FINDINGS) == "1dAVb RBBB LBBB SB ST AF"
    assert " ".join(finding.name for finding in PTBXL_SUPERCLASSES) == "NORM MI STTC CD HYP"
    assert " ".join(finding.name for finding in CHALLENGE_FINDINGS[6:]) == (
        "AFL BBB Brady IRBBB LAD LAnFB LQRSV NSIVCB NSR PAC PR PRWP PVC LPR LQT QAb RAD SA TAb TInv"
    )
    assert list(FINDINGS)[:11] == [finding.name for finding in (*CODE_FINDINGS, *PTBXL_SUPERCLASSES)]


def test_the_26_have_30_codes_of_which_four_are_equivalents():
    assert len({code for finding in CHALLENGE_FINDINGS for code in finding.codes}) == 30
    assert {finding.name: finding.codes for finding in CHALLENGE_FINDINGS if finding.equivalents} == {
        "RBBB": ("59118001", "713427006"),
        "LBBB": ("164909002", "733534002"),
        "PAC": ("284470004", "63593006"),
        "PVC": ("427172004", "17338001"),
    }


def test_no_two_findings_share_a_spelling():
    spellings = [
        spelling
        for finding in FINDINGS.values()
        for spelling in {s.casefold() for s in (finding.name, finding.title, *finding.codes, *finding.synonyms)}
    ]
    assert len(set(spellings)) == len(spellings)


@pytest.mark.parametrize("finding", FINDINGS.values(), ids=FINDINGS)
def test_a_finding_is_found_under_every_name_in_any_case(finding):
    for spelling in (finding.name, finding.title, *finding.codes, *finding.synonyms):
        for text in (spelling, spelling.upper(), spelling.lower(), f" {spelling} "):
            assert named_finding(text) is finding


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *[("IAVB", "1dAVb"), ("STach", "ST"), ("CLBBB", "LBBB"), ("CRBBB", "RBBB"), ("AFIB", "AF"), ("AFLT", "AFL")],
        *[("SVPB", "PAC"), ("VPB", "PVC"), ("SR", "NSR"), ("733534002", "LBBB"), ("426783006", "NSR")],
    ],
)
def test_abbreviations_of_the_collections_mean_what_they_mean_there(text, name):
    assert named_finding(text).name == name


@pytest.mark.parametrize("text", ["", "WPW", "flutter", "164884008", "RBBB,LBBB"])
def test_what_is_no_finding_is_refused_naming_those_there_are(text):
    with pytest.raises(DatasetError, match=f"no finding is called {text!r}; there are 1dAVb, .*Chagas, and their"):
        named_finding(text)


def test_a_group_of_statements_has_no_code():
    assert [finding.codes for finding in PTBXL_SUPERCLASSES] == [()] * 5


def test_the_package_is_imported_without_the_vocabulary():
    code = "import sys, ecoscale; assert 'ecoscale.findings' not in sys.modules; assert 'csv' not in sys.modules"
    run([sys.executable, "-c", code], check=True)
