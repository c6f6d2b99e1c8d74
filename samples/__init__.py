"""Dumps to test on: builders that write them from the layout facts, and small files made by others.

`samples.solaris.SolarisDomain` plans a Solaris domain and writes it; `samples.xen_core` writes the two formats of Xen
domain cores; `samples.unpack` unpacks the files of ``samples/files``. Nothing here imports kdbg: what a test finds in a
built dump was put there by other code than the code under test.
"""
