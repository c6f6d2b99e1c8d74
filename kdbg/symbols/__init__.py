"""Names and types: symbol tables, the type model and its loaders, typed values in memory."""
