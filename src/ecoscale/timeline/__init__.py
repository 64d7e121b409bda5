"""Long records: windows that follow each other, the episodes that they make, and how these are drawn and written.

A window is classified as a record of its own (`ecoscale.excerpts`). Nothing here holds the signal of a whole record.
"""

from ecoscale.timeline.episodes import Episode, Timeline
from ecoscale.timeline.windows import classify_windows, timeline

__all__ = ["Episode", "Timeline", "classify_windows", "timeline"]
