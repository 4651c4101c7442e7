"""What keypoints are worth: judged from points and truth alone, so any extractor can be judged."""

from kpbook.metric.matching import (
    PrecisionRecall,
    RegressionResult,
    pck,
    precision_recall,
    regression_error,
)
from kpbook.metric.statistics import (
    bootstrap_interval,
    iqm,
    mean_between_quartiles,
    wilson,
)
from kpbook.metric.tracking import (
    THRESHOLD_OF,
    THRESHOLDS,
    TrackingResult,
    tracking_capability,
    tracking_error,
)

__all__ = [
    "THRESHOLDS",
    "THRESHOLD_OF",
    "PrecisionRecall",
    "RegressionResult",
    "TrackingResult",
    "bootstrap_interval",
    "iqm",
    "mean_between_quartiles",
    "pck",
    "precision_recall",
    "regression_error",
    "tracking_capability",
    "tracking_error",
    "wilson",
]
