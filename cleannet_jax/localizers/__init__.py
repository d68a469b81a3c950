"""What can be done with snippet predictions of any origin, in order to localize.

`table` has a row for every localizer; the other modules are what rows are made of.
"""
