"""`cleannet extract`, from a checkout: python bin/extract.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("extract"))
