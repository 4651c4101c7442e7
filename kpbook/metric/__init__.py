"""What keypoints are worth: judged from points and truth alone, so any extractor can be judged."""

from kpbook.metric.tracking import (
    THRESHOLDS,
    TrackingResult,
    tracking_capability,
    tracking_error,
)

__all__ = ["THRESHOLDS", "TrackingResult", "tracking_capability", "tracking_error"]
