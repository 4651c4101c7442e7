"""Six Atari games through ale-py, as worlds; pictures and true points, no camera."""
