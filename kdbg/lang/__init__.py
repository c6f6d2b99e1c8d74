r"""The language: what a person types becomes commands, and what commands answer becomes text or records.

How the pieces meet, from the text on:

- `source`: lines with a name and a number: standard input, a string, a macro file, a pipe; what is lost after an error.
- `lexer` (with `quotes`): characters to tokens, by state. Commands and variables are looked up here.
- `parser`: tokens to statements; expressions are evaluated as they are read, a finished statement runs at once.
- `pipeline`: a statement's commands are called: once, in a loop, for what a pipe brings. `invoke` checks address,
  options (`options`), words and needs as the `Dcmd` declares them, runs its function and gives its records to the
  session's presenter: `TextPresenter` (table or text function of the dcmd, heading before the first record),
  `PipePresenter` (the record's address goes to the next command), `RecordPresenter` (Python, JSON).
- `output`: lines with columns; `session.out` is where a command writes what is no record.
- `session`: dot, `&`, increment, radix, `variables`, `settings`; `execute(text)`, `records(text)`, `run(source)`.
- `formats*`: what ``/ \ ? @ =`` show.

A dcmd's function gets a `Call` and either yields records or writes to ``call.session.out`` and returns None. It raises
`CommandError` (said, the command failed, a loop goes on), `UsageError` (said, usage shown, the loop or pipeline ends),
`Abort` of `errors` (said, the loop or pipeline ends); `Call.fail` says something and goes on. A record without an
``address`` is text in a pipe, and the command behind it will not like it. Dcmds are found by name through the tables of
`kdbg.dcmds`; add a module and its names there.
"""
