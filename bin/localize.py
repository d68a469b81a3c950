"""`cleannet localize`, from a checkout: python bin/localize.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("localize"))
