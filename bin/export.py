"""`cleannet export`, from a checkout: python bin/export.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("export"))
