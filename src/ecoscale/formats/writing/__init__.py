"""Writing ECGs: one module a format, each losing nothing or saying what it loses.

What is written is the signal: samples, rate, lead names. Nothing about a patient is invented, and none is passed on.
"""

from ecoscale.formats.writing.write import (
    SUFFIXES,
    WritableFormat,
    Written,
    write_ecg,
    write_long_record,
    written_format,
)

__all__ = ["SUFFIXES", "WritableFormat", "Written", "write_ecg", "write_long_record", "written_format"]
