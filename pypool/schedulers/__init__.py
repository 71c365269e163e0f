"""Schedulers: their commands and how to read what they print. No policy lives here."""
