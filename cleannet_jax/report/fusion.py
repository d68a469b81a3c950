"""The choice of a weight for a person, in percent."""

from cleannet_jax import evaluate, fuse_weight
from cleannet_jax.report import tables


def as_text(choice: fuse_weight.Choice, *, shown: int) -> str:
    """Returns the choice and the best recipes as lines, in percent.

    Args:
      choice: of `fuse_weight.choose`.
      shown: how many of the best recipes; the detector's own scores as they came, with
        nothing suppressed, follow where they are not among them.
    """
    best = choice.trials[0]
    rows = [("weight", "evaluator", "scale", "suppression", "mean mAP", "minus best")]
    rows += [
        _row(trial, best)
        for rank, trial in enumerate(choice.trials)
        if rank < shown or _is_untouched(trial)
    ]
    report = choice.report
    count = sum(trial.is_within_noise for trial in choice.trials)
    recipe = best.recipe
    head = (
        f"subset {report.subset!r} of {report.ground_truth}: {report.num_videos} videos,"
        f" {report.num_instances} instances, {len(choice.trials)} recipes"
    )
    chosen = (
        f"chosen: {recipe.weight:g} x {recipe.evaluator}, scale {recipe.scale},"
        f" suppression {recipe.suppression}"
    )
    noise = (
        f"no worse by more than noise: {count} of the {len(choice.trials) - 1} others"
        f" ({evaluate.LEVEL:.0%} intervals over {choice.samples} resamples of the"
        " videos, the same ones for both)"
    )
    lines = [head, *tables.aligned(rows), chosen]
    return "\n".join([*lines, noise] if choice.samples else lines)


def _is_untouched(trial: fuse_weight.Trial) -> bool:
    """Whether the scores are the detector's own."""
    return trial.recipe.weight == 0 and trial.recipe.suppression.kind == "none"


def _row(trial: fuse_weight.Trial, best: fuse_weight.Trial) -> tuple[str, ...]:
    """A line of the table."""
    recipe = trial.recipe
    difference = 100 * (trial.mean_ap.mean() - best.mean_ap.mean())
    text = "" if trial is best else f"{difference:+.2f}"
    if trial.interval is not None:
        low, high = (100 * end for end in trial.interval)
        text += f" [{low:+.2f}, {high:+.2f}]"
    return (
        f"{recipe.weight:g}",
        recipe.evaluator if recipe.weight else "-",
        recipe.scale if recipe.weight else "-",
        str(recipe.suppression),
        f"{100 * trial.mean_ap.mean():.2f}",
        text,
    )
