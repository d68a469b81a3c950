"""`cleannet report`, from a checkout: python bin/report.py takes the same arguments."""

import sys

from cleannet_jax.programs import main

sys.exit(main.run("report"))
