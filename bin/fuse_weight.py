"""`cleannet fuse-weight`, from a checkout: python bin/fuse_weight.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("fuse-weight"))
