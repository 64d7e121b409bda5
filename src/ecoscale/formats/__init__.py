"""Reading files of ECGs and of other signals: one module a format, chosen by content, never by suffix.

An ECG's units become millivolts and its lead names canonical here and nowhere else; another signal's names and units
stay as the file states them. Nothing here guesses a rate or a unit.
"""

from ecoscale.formats.find import Recording, SignalRecording, find_recordings, find_signals, read_recordings
from ecoscale.formats.read import read_ecg
from ecoscale.formats.signals import read_signal

__all__ = [
    "Recording",
    "SignalRecording",
    "find_recordings",
    "find_signals",
    "read_ecg",
    "read_recordings",
    "read_signal",
]
