import pytest

from ecoscale.inference import FindingResult, Prediction
from ecoscale.measurements import Measurements, disagreements

SIX = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
NORMAL = {"heart_rate": 72.0, "pr": 160.0, "qrs": 90.0, "qt": 380.0, "qtc": 400.0, "axis": 45.0, "rr_variation": 0.06}


def said(present=(), names=SIX, **measured):
    findings = {name: FindingResult(name, name, None, float(name in present), 0.5) for name in names}
    return disagreements(Measurements(**(NORMAL | measured)), Prediction("", "", findings, (), "test 1"))


def test_a_normal_ecg_with_no_finding_has_no_disagreement():
    assert said() == ()


@pytest.mark.parametrize(
    ("present", "measured", "sentence"),
    [
        ((), {"heart_rate": 45}, "The heart rate is 45/min, below 50, and SB was not found."),
        (("SB",), {"heart_rate": 72}, "SB was found, and the heart rate is 72/min, not below 60."),
        ((), {"heart_rate": 121}, "The heart rate is 121/min, above 100, and ST was not found."),
        (("ST",), {"heart_rate": 88}, "ST was found, and the heart rate is 88/min, below 100."),
        ((), {"pr": 230}, "The PR interval is 230 ms, above 200, and 1dAVb was not found."),
        (("1dAVb",), {"pr": 170}, "1dAVb was found, and the PR interval is 170 ms, not above 200."),
        ((), {"qrs": 140}, "QRS lasts 140 ms, 120 or more, and none of LBBB, RBBB was found."),
        (("LBBB",), {"qrs": 92}, "LBBB was found, and QRS lasts 92 ms, less than 120."),
        (("AF",), {"pr": 160}, "AF was found, and a P wave repeats before each QRS (PR 160 ms)."),
        (
            ("AF",),
            {"pr": None, "rr_variation": 0.01},
            "AF was found, and the rhythm is regular (RR intervals vary by 1.0 %).",
        ),
    ],
)
def test_a_contradiction_is_a_plain_sentence(present, measured, sentence):
    assert said(present, **measured) == (sentence,)


@pytest.mark.parametrize(
    ("present", "measured"),
    [
        (("SB",), {"heart_rate": 45}),
        (("ST",), {"heart_rate": 121}),
        (("1dAVb",), {"pr": 230}),
        (("RBBB",), {"qrs": 140}),
        (("AF",), {"heart_rate": 130, "pr": None, "rr_variation": 0.2}),
        ((), {"heart_rate": 100.4, "pr": 200.4, "qrs": 119.4}),
        ((), {"heart_rate": 55}),
        ((), dict.fromkeys(NORMAL)),
    ],
)
def test_what_agrees_or_was_not_measured_is_not_remarked_on(present, measured):
    assert said(present, **measured) == ()


def test_only_what_the_bundle_knows_is_judged():
    assert said(names=("RBBB",), heart_rate=45, pr=230, qrs=140) == ()


def test_the_statements_of_ptb_xl_are_judged_by_their_own_names():
    names = ("1AVB", "SBRAD", "CLBBB", "CRBBB", "IVCD", "AFIB", "LNGQT")
    assert said(names=names, pr=230) == ("The PR interval is 230 ms, above 200, and 1AVB was not found.",)
    assert said(("IVCD",), names, qrs=130) == ()
    assert said(names=names, qtc=480) == ("QTc is 480 ms (Fridericia), 460 or more, and LNGQT was not found.",)
    assert said(names=names, qtc=480, qrs=140, qt=480) == (
        "QRS lasts 140 ms, 120 or more, and none of CLBBB, CRBBB was found.",
    )


def test_the_axis_is_judged_where_deviations_are_known():
    names = ("LAD", "RAD", "LAnFB")
    assert said(names=names, axis=-50) == (
        "The QRS axis is -50 degrees, left of -30, and none of LAD, LAnFB was found.",
    )
    assert said(("LAnFB",), names, axis=-50) == ()
    assert said(("RAD",), names, axis=45) == ("RAD was found, and the QRS axis is 45 degrees.",)
