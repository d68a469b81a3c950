"""`cleannet score`, from a checkout: python bin/score.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("score"))
