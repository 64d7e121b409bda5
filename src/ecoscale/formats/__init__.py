"""Reading ECG files: one module a format, chosen by content, never by suffix.

Units become millivolts and lead names canonical here and nowhere else. Nothing here guesses a rate or a unit.
"""

from ecoscale.formats.find import Recording, find_recordings, read_recordings
from ecoscale.formats.read import read_ecg

__all__ = ["Recording", "find_recordings", "read_ecg", "read_recordings"]
