"""Programs that the streams benchmark runs: the engine alone, and a FastStream consumer."""
