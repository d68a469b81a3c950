"""`cleannet table`, from a checkout: python bin/table.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("table"))
