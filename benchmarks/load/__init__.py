"""Load generators: closed loop (wrk, h2load) and open loop (own), all against 127.0.0.1."""
