"""Open Inference Protocol (V2), REST and gRPC, with the extensions that work here."""
