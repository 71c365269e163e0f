"""The documents: what they show runs, what they point to exists, what they list is all there is."""
