"""The command `cleannet` as a module: python -m cleannet_jax."""

import sys

from cleannet_jax.programs import main

if __name__ == "__main__":
    sys.exit(main.main())
