"""Quantiles of Student's t, for intervals from few videos or few seeds. NumPy in float64."""

import numpy as np

_BISECTIONS = 60


def quantile(level: float, *, freedom: int) -> float:
    """Returns the t > 0 with P(-t < T < t) = level; NumPy has no such function.

    Abramowitz and Stegun, equations 26.7.3 and 26.7.4, are finite sums in the angle
    arctan(t / sqrt(freedom)) of [0, pi / 2), which is bisected.

    Args:
      level: in (0, 1), such as 0.95.
      freedom: degrees of freedom, a whole number of at least one.
    """
    low, high = 0.0, np.pi / 2
    for _ in range(_BISECTIONS):
        angle = (low + high) / 2
        if _central(angle, freedom) < level:
            low = angle
        else:
            high = angle
    return float(np.sqrt(freedom) * np.tan(low))


def _central(angle: float, freedom: int) -> float:
    """P(|T| < t) of an angle.

    Even: sin (1 + 1/2 cos^2 + 1·3/(2·4) cos^4 + ...), to the power freedom - 2. Odd:
    2/pi (angle + sin (cos + 2/3 cos^3 + 2·4/(3·5) cos^5 + ...)), likewise.
    """
    odd = freedom % 2
    steps = np.arange(1 + odd, freedom - 1, 2)
    factors = np.append(1.0, steps / (steps + 1) * np.cos(angle) ** 2)
    terms = np.cumprod(factors).sum()
    if not odd:
        return np.sin(angle) * terms
    rest = np.sin(angle) * np.cos(angle) * terms if freedom > 1 else 0.0
    return 2 / np.pi * (angle + rest)
