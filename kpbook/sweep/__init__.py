"""Many training runs from one YAML file: ``python -m kpbook.sweep config.yml``.

Every (run, seed) is a job: one process with one torch thread, so that a crash, a kill or a lack of
memory ends that job alone. joblib deals the jobs out, over the cores of this machine or, with
``--backend ray``, over a cluster whose nodes see the same folder. A finished job, one with a run
record, is never run again; one that was interrupted goes on from its last checkpoint.

The file::

    data:                       # or `data: sample`, the recording that ships
      episodes: 560             # ... steps, seed, policy: as kpbook.episodes.record takes them
      image_size: 64            # ... camera, look: as kpbook.world.PushWorld takes them
    split: {train: 500, validation: 60, seed: 0}
    defaults: {images: 80000, learning_rate: 3e-3, schedule: one-cycle, seeds: 6}
    runs:                       # each takes any key of the defaults, `data` and `split` too
      - {name: dsae, architecture: dsae}
      - {name: basic-16, architecture: basic, overrides: {keypoints: 16}, seeds: [0, 1]}

``images`` (or ``steps``) is the length of a run; other options are those of
:func:`kpbook.training.fit`. Into the folder go a run record and the weights of each job, whole and
(``.encoder.safetensors``, small enough for git) without what only draws; and
``runs.csv`` (a row per job and object) and ``curves.csv`` (a row per job and evaluation). The
score is that of the second half of the validation episodes, for the affine map that was fitted on
the first half.
"""

from kpbook.sweep.plan import Job, read

__all__ = ["Job", "read"]
