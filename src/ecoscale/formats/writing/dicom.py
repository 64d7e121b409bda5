"""DICOM ECG waveforms (PS3.3 A.34.3 to A.34.5): one multiplex group, without anything about a patient.

What the standard demands and an `ECG` does not hold is left empty where it may be (type 2). The one thing that may not,
the time of acquisition (type 1), is a stand-in, and the file says that dates were removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import FormatError, MissingExtraError
from ecoscale.formats.leads import code_of_lead
from ecoscale.formats.writing.steps import MISSING, rounding_notes, steps_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ecoscale.ecg import ECG
    from ecoscale.formats.writing.steps import Step

NO_TIME = "19000101000000"
"""Stands in for the time of acquisition, which is not known."""

# The content constraints of PS3.3 A.34.3.4, A.34.4.4 and A.34.5.4.
_RATES = (200, 1000)
_AMBULATORY_RATES = (50, 1000)
_LONGEST_12_LEAD = 16384


def write(ecg: ECG, path: Path) -> tuple[str, ...]:
    """Write a 12-lead ECG waveform, or a general or ambulatory one where the rate, leads or length are not those of it.

    Missing samples are the padding value. Raises `FormatError` for a rate that no DICOM ECG has (under 50, over
    1000 Hz); `MissingExtraError` without pydicom.
    """
    try:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    except ImportError:
        raise MissingExtraError("writing DICOM", "pydicom", "formats") from None
    from datetime import datetime

    from ecoscale import __version__

    steps = steps_of(ecg)
    now = datetime.now()  # of the content, which is made now: not of the recording
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = _waveform_class(ecg)
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        setattr(dataset, keyword, "")
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Only the signal was written"
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
    for keyword in ("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"):
        setattr(dataset, keyword, "")
    dataset.StudyInstanceUID = generate_uid(prefix=None)
    dataset.SeriesInstanceUID = generate_uid(prefix=None)
    dataset.SeriesNumber = None
    dataset.Modality = "ECG"
    dataset.Manufacturer = ""
    dataset.SoftwareVersions = f"ecoscale {__version__}"
    dataset.InstanceNumber = 1
    dataset.ContentDate, dataset.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.AcquisitionDateTime = NO_TIME
    dataset.AcquisitionContextSequence = []
    dataset.WaveformSequence = [_group(ecg, steps)]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return (
        *rounding_notes(ecg.leads, steps),
        "no_time: when the ECG was recorded is not known; DICOM demands a time, and the file says "
        f"{NO_TIME[:4]}-01-01 and that dates were removed",
    )


def _waveform_class(ecg: ECG) -> str:
    from pydicom.uid import AmbulatoryECGWaveformStorage, GeneralECGWaveformStorage, TwelveLeadECGWaveformStorage

    if _RATES[0] <= ecg.rate <= _RATES[1]:
        is_standard = ecg.n_leads == 12 and ecg.n_samples <= _LONGEST_12_LEAD
        return TwelveLeadECGWaveformStorage if is_standard else GeneralECGWaveformStorage
    if _AMBULATORY_RATES[0] <= ecg.rate <= _AMBULATORY_RATES[1]:
        return AmbulatoryECGWaveformStorage
    raise FormatError(
        f"{ecg.source or 'this ECG'}: its rate is {ecg.rate:g} Hz; a DICOM ECG waveform has {_AMBULATORY_RATES[0]} to "
        f"{_AMBULATORY_RATES[1]} Hz: resample it, or write wfdb, edf, csv or parquet"
    )


def _group(ecg: ECG, steps: tuple[Step, ...]) -> Any:
    from pydicom.dataset import Dataset
    from pydicom.valuerep import DSfloat

    digital = np.stack([step.integers(row) for step, row in zip(steps, ecg.signal, strict=True)])
    group = Dataset()
    derived = any(note.startswith("derived_waveform:") for note in ecg.notes)
    group.WaveformOriginality = "DERIVED" if derived else "ORIGINAL"
    group.NumberOfWaveformChannels = ecg.n_leads
    group.NumberOfWaveformSamples = ecg.n_samples
    group.SamplingFrequency = DSfloat(ecg.rate, auto_format=True)
    group.MultiplexGroupLabel = "RHYTHM"
    group.ChannelDefinitionSequence = [_channel(lead, step) for lead, step in zip(ecg.leads, steps, strict=True)]
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    if (digital == MISSING).any():
        group.add_new("WaveformPaddingValue", "OW", np.array([MISSING], "<i2").tobytes())
    group.add_new("WaveformData", "OW", digital.T.astype("<i2").tobytes())
    return group


def _channel(lead: str, step: Step) -> Any:
    from pydicom.dataset import Dataset
    from pydicom.valuerep import DSfloat

    channel = Dataset()
    channel.ChannelLabel = lead
    channel.ChannelSourceSequence = [_code(code_of_lead(lead), "MDC", f"Lead {lead}")]  # CID 3001
    channel.ChannelSensitivity = DSfloat(step.microvolts, auto_format=True)
    channel.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor = 1
    channel.ChannelBaseline = DSfloat(step.offset * 1000 / step.gain, auto_format=True)
    channel.ChannelSampleSkew = 0
    channel.WaveformBitsStored = 16
    return channel


def _code(value: str, scheme: str, meaning: str) -> Any:
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
