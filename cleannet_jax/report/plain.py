"""Names and scores as short plain text, whatever characters a name has."""

import unicodedata

# Format characters without which words of some languages are other words.
_JOINERS = "\u200c\u200d"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def one_line(name: str, longest: int) -> str:
    """Returns a name on one line, without characters that steer how text is shown.

    White space and control characters become single spaces; overrides of the writing
    direction go; halves of surrogate pairs become question marks.

    >>> one_line("high\\n jump", 20), one_line("high jump", 6)
    ('high jump', 'high…')

    Args:
      name: any text.
      longest: characters that are kept, at least 2.
    """
    # A name that is cut stays longer than it may be, so that the cut shows.
    kept = "".join(map(_shown, name[: 20 * longest]))
    line = " ".join(kept.split())
    if len(line) > longest or len(name) > 20 * longest:
        line = _without_last_mark(line[: longest - 1]).rstrip() + _ELLIPSIS
    return line or "(no name)"


def _shown(character: str) -> str:
    """What stands for a character."""
    kind = unicodedata.category(character)
    if kind == "Cs":
        return "?"
    if kind == "Cf":
        return character if character in _JOINERS else ""
    return " " if kind in ("Cc", "Zl", "Zp", "Zs") else character


def _without_last_mark(text: str) -> str:
    """The text without what may belong to a character that was cut."""
    while text and (unicodedata.category(text[-1])[0] == "M" or text[-1] in _JOINERS):
        text = text[:-1]
    return text


def score(value: float) -> str:
    """Returns a score with two decimals, without a zero in front of the point.

    >>> score(0.874), score(-0.5), score(1.0), score(1e6)
    ('.87', '-.50', '1.00', '1e+06')
    """
    if abs(value) < 0.005:
        value = 0.0  # Not "-.00".
    text = f"{value:.2f}" if abs(value) < 1000 else f"{value:.3g}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
