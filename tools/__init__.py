"""What people run: the command line, the caller in the box, the stub generator and the benchmarks."""
