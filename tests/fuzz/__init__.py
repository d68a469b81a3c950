"""Feeds damaged and hostile files to every reader: python -m tests.fuzz.

Files that are whole are made by `seeds`, damaged by `mutators` and read by `readers`, in
a process of their own whose limits are `harness`'s: of an input only an InputError of
one short line may come out, in bounded time and memory, and nothing is opened but the
input. What failed once is in `corpus`.
"""
