"""`cleannet validate`, from a checkout: python bin/validate.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("validate"))
