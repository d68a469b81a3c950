"""`cleannet init`, from a checkout: python bin/init.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("init"))
