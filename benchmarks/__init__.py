"""npstn against PyTorch, the same work in the same run: `python -m benchmarks`."""
