"""Training: the events of a program in, one model out. Off the request path; needs scipy."""

from nextbest.training.trainer import train, train_partitions

__all__ = ["train", "train_partitions"]
