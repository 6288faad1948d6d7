"""
Waiting for many.

What to do about an answer is decided by `poll_step`, when to look next by `_schedule`, who
is due by `_agenda`: plain functions and values without clock, await or I/O. The engine is
a thin shell around them: one scheduler and a few workers that pull, never a task per
session. It asks a `ResultSource` and knows nothing of HTTP.
"""
