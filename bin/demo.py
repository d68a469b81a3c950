"""`cleannet demo`, from a checkout: python bin/demo.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("demo"))
