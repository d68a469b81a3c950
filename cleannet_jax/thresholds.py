"""The tIoU thresholds that a command line names."""

from cleannet_jax import errors
from cleannet_jax.metrics import average_recall


def parse_tious(text: str) -> tuple[float, ...]:
    """Returns the thresholds that a command line names.

    Args:
      text: numbers with commas between them ("0.3,0.5,0.7"), taken as they are; or
        first:step:last ("0.1:0.1:0.7"), each the double nearest to its decimals,
        except that "0.5:0.05:0.95" is `evaluate.ACTIVITYNET_TIOUS`.

    Raises:
      InputError: the text is neither, or names a threshold outside of (0, 1].
    """
    grid = text.split(":")
    try:
        if len(grid) == 3:
            tious = _grid(*map(float, grid))
        else:
            tious = tuple(map(float, text.split(",")))
    except ValueError:
        tious = ()
    if not tious or not all(0 < tiou <= 1 for tiou in tious):
        raise errors.InputError(
            "tIoU thresholds: expected numbers in (0, 1], as in 0.3,0.5,0.7 or"
            f" first:step:last as in 0.1:0.1:0.7, found {text!r}"
        )
    return tious


def _grid(first: float, step: float, last: float) -> tuple[float, ...]:
    """The thresholds of a grid that ends at `last` or before; none if it is empty."""
    if not (step >= 0.001 and 0 < first <= last <= 1):
        return ()
    count = int((last - first) / step + 1e-6) + 1
    tious = tuple(round(first + step * index, 6) for index in range(count))
    official = tuple(round(tiou, 6) for tiou in average_recall.TIOUS)
    return average_recall.TIOUS if tious == official else tious
