"""`cleannet annotate`, from a checkout: python bin/annotate.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("annotate"))
