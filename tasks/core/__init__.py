"""What every task is built on: the base class, streams of instances, sampling."""
