"""What lies in a run directory: names, records, batches, mailboxes. Knows nothing of dealing."""
