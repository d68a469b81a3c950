"""The programs behind the command `cleannet`, one module each; `main` has their table.

A program module has `parser()`, which imports nothing heavy before it must, and
`run(parsed)`, which returns the exit code and raises what `main` turns into one.
"""
