"""Operating systems, a package each: from memory, names and types to records."""
