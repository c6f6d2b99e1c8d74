"""Fuzz targets, one a parser: run with atheris where it is installed, else with mutations from seeds."""
