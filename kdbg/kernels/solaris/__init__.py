"""Solaris and illumos kernels, a topic a module; `kernel` gives the others their words."""
