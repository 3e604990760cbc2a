"""Where runs are trained: in this process, in worker processes, on Ray."""
