"""
What survives a restart.

`_facts` says what a journal is: plain values and a protocol, which is all that a poller
knows. The rest is ours, one thing a module, each knowing only those before it: `_sql` is
what is said to the tables as plain functions of a connection, `_file` opens one and names
what goes wrong, `_tables` makes a `Journal` of the two, `_lock` says who holds a file, and
`_thread` writes it, many pieces at a time, for `_sqlite`. `_overview` only reads, for an
operator. Nothing here looks at a session or knows when one is due. Import from the
submodules.
"""
