"""Programs that train networks, to read and to run."""
