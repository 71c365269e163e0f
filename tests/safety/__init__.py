"""What others, accidents and hostile names may try, and what comes of it: nothing."""
