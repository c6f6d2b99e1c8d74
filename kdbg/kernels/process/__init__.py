"""A process and what was in it: the objects that were loaded, their symbols and types, the threads' stacks."""
