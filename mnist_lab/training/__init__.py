"""From a configuration to the finished folder of a run."""
