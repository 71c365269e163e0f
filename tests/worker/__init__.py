"""The agent and its workers, as a dispatcher meets them: through mailboxes alone."""
