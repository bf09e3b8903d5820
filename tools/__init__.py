"""What surrounds the product: the command line, the local stack, evaluation, benchmarks. Never in a function."""
