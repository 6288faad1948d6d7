"""
How it is said over HTTP.

Requests are built and replies are read by plain functions (`_protocol`, `_replies`,
`_signing`, `_retry`); `_transport` is the only module that knows the HTTP library, be it
httpx or httpx2. Connections are lanes: a kept lane only ever answers "is it settled yet?",
and whatever a caller acts on is the first answer of a new one. A lane that was cancelled,
failed, or has more to say than its answer is closed, which waits for nothing.
"""
