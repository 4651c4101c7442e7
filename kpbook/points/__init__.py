"""Keypoints that another program found: DeepLabCut, SLEAP, OpenPose and others, as ``Points``.

:func:`~kpbook.points.read.read_points` reads a file; what it is, its content says:

| format | file | lost | coordinates |
|---|---|---|---|
| ``kpbook`` | CSV ``x0,y0,x1,y1,…`` | both cells empty | image coordinates |
| ``pandas`` | CSV of ``to_csv()``: ``x0,y0,…`` or ``nose_x,nose_y,nose_likelihood`` | below 0.6, empty | see ``units`` |
| ``deeplabcut`` | CSV with 3 or 4 header rows | likelihood below 0.6, empty | pixels |
| ``sleap`` | analysis CSV: ``track,frame_idx,…,nose.x,nose.y`` | empty, no row | pixels |
| ``coco`` | JSON: annotations, or a list of results | v = 0, no annotation | pixels |
| ``openpose`` | a folder of JSON files, or one of them | c = 0, nobody there | pixels |
| ``mediapipe`` | JSON or CSV with x, y, z, visibility | visibility below 0.5 | 0 to 1, edge to edge |
| ``tapvid`` | npz: tracks, and visibles or occluded | not visible | 0 to 1, or pixels |
"""  # noqa: E501

from kpbook.points.found import Points
from kpbook.points.read import FORMATS, UNITS, read_points

__all__ = ["FORMATS", "UNITS", "Points", "read_points"]
