"""Acting on keypoints: frames become observations, and an agent learns from them.

:mod:`~kpbook.control.observe` turns PandaPush into an environment whose state is keypoints,
:mod:`~kpbook.control.places` says which keypoint is which object and where on the table it is,
:mod:`~kpbook.control.vector` steps several such environments at once, and
:mod:`~kpbook.control.sac` trains an agent in them, and :mod:`~kpbook.control.agents` reads and
writes what was trained. The last three need stable-baselines3 for that; where it is missing,
:mod:`~kpbook.control.weights` reads an agent's networks as arrays.
"""
