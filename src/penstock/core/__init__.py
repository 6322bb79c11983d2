"""Values and contracts: errors, ids, tensors, messages, signatures, Servable, Loader, Source."""
