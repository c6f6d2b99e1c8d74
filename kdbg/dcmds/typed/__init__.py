"""Typed memory as text: what ``::print``, ``::printf``, ``::list`` and ``::enum`` share; no dcmd is declared here.

From the words on: `typenames` (which of them are a type's name), `paths` (members: ``t_procp->p_user.u_comm``),
`memory` (what is read), `render` (structures and arrays, line by line), `leaves` (single values, with `texts` and
`enumerations`); `typedefs` reads the definitions that ``::typedef`` takes.
"""
