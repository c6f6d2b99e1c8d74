"""What pyproject.toml cannot say: a compiled part that an installation may lack."""

from __future__ import annotations

from setuptools import Extension, setup

# Optional: without a compiler the installation goes on, and kdbg/formats/lzjb.py uses its slower twin.
setup(ext_modules=[Extension("kdbg.formats._lzjb", ["kdbg/formats/_lzjb.c"], optional=True)])
