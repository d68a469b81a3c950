"""`cleannet ablate`, from a checkout: python bin/ablate.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("ablate"))
