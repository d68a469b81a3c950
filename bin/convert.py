"""`cleannet convert`, from a checkout: python bin/convert.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("convert"))
