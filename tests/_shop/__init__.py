"""A Django app with the table that the example writes verdicts into."""
