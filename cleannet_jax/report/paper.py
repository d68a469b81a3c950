"""The paper's figures: mAP in percent by method and tIoU, as its tables print them."""

from collections.abc import Mapping

_THUMOS14_TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
_ACTIVITYNET_TIOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

# Table 2, variants on THUMOS14: the rows that are not in Table 3 too.
_TABLE_2: Mapping[str, Mapping[float, float]] = {
    "plain": {0.5: 21.6},
    "actioness_only": {0.5: 1.2},
    "edgeness_only": {0.5: 11.4},
    "t": {0.5: 23.4},
    "j": {0.5: 23.6},
}

# Table 3, weakly supervised methods on THUMOS14.
_TABLE_3: Mapping[str, Mapping[float, float]] = {
    "hide_and_seek": {0.3: 19.5, 0.4: 12.7, 0.5: 6.8},
    **{
        name: dict(zip(_THUMOS14_TIOUS, values, strict=True))
        for name, values in {
            "untrimmednet": (29.8, 22.8, 15.4, 8.3, 4.2),
            "stpn": (31.1, 23.5, 16.2, 9.8, 5.1),
            "w_talc": (32.0, 26.0, 18.8, 10.9, 6.2),
            "autoloc": (35.8, 29.0, 21.2, 13.4, 5.8),
            "simple": (36.3, 30.7, 22.9, 13.8, 5.3),
            "full": (37.0, 30.9, 23.9, 13.9, 7.1),
        }.items()
    },
}

# Table 4, weakly supervised methods on ActivityNet v1.2.
_TABLE_4: Mapping[str, Mapping[float, float]] = {
    name: dict(zip(_ACTIVITYNET_TIOUS, values, strict=True))
    for name, values in {
        "untrimmednet": (7.4, 6.1, 5.2, 4.5, 3.9, 3.2, 2.5, 1.8, 1.2, 0.7),
        "w_talc": (37.0, 33.5, 30.4, 25.7, 14.6, 12.7, 10.0, 7.0, 4.2, 1.5),
        "autoloc": (27.3, 24.9, 22.5, 19.9, 17.5, 15.1, 13.0, 10.0, 6.8, 3.3),
        "full": (37.1, 33.4, 29.9, 26.7, 23.4, 20.3, 17.2, 13.9, 9.2, 5.0),
    }.items()
}

# By the name of the data's config, then of the method.
PAPER: Mapping[str, Mapping[str, Mapping[float, float]]] = {
    "thumos14": _TABLE_2 | _TABLE_3,
    "activitynet12": _TABLE_4,
}
