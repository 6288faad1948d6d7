"""
Where the poller meets what others have made: an engine for many machines, and telemetry.

Each has an extra of its own, and none decides what an answer means: that is done in one place.
Nothing here is imported unless it is asked for.
"""
