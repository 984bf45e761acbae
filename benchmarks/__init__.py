"""Side-by-side timings of autodiff and its peers: `python -m benchmarks`."""
