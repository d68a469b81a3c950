"""Commands are stopped at every file operation, run again, and compared byte for byte.

    python -m tests.crash --full

prints how many points there are, how many kills, and what failed; docs/reliability.md
has what is promised. Part of it, a fixed sample, is among the tests.
"""
