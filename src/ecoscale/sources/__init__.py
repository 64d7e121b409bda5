"""What `ecoscale predict` is given: files, folders, patterns and prepared stores, as records that are read one by one.

A record here is a small description that can be written down and read again on another machine; signals are read when
they are asked for. Nothing here knows of networks or results.
"""

from ecoscale.sources.find import find_records, from_row, holds_prepared, to_row

__all__ = ["find_records", "from_row", "holds_prepared", "to_row"]
