"""Images -> keypoints. One file a family; ``base`` holds the contract that all of them keep."""

from kpbook.extractors.base import Extractor, ExtractorError, check_extractor

__all__ = ["Extractor", "ExtractorError", "check_extractor"]
