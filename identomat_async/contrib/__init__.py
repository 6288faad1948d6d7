"""
Where the poller meets somebody else's engine.

Each has an extra of its own, and uses the same steps as the poller: what an answer means is
decided in one place. Nothing here is imported unless it is asked for.
"""
