"""Training: one :func:`fit` for every extractor that learns; it knows none of them by name."""

from kpbook.training.loop import Fit, fit

__all__ = ["Fit", "fit"]
