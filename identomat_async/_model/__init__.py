"""
What Identomat says, and what it is told: pure values.

Nothing here asks, waits or knows about HTTP. Values are frozen and compare by content;
what a person gave (names, numbers, addresses, answers) is there to be read but never in
a `repr`. The service's documents are taken as they come: a member that is missing, null,
new or of another type than documented does not fail the document, with two exceptions,
`result` and `live`, since a verdict is read from them. One module, `_codec`, knows which
JSON belongs to which class; `_json` decides what counts as JSON at all; the rest are
the classes. Import from the submodules.
"""
