"""When and with whom a request runs: admission, queue, batching, merge and split."""
