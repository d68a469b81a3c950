"""`cleannet train`, from a checkout: python bin/train.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("train"))
