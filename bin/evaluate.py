"""`cleannet evaluate`, from a checkout: python bin/evaluate.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("evaluate"))
