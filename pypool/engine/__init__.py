"""The driver's side: what is dealt to whom, and the thread that does it."""
