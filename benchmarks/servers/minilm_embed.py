"""Print the model's own embedding of one sentence: ``python minilm_embed.py MODEL IDS_JSON``."""

import json
import sys

from minilm_floor import open_session, pad

if __name__ == "__main__":
    (embedding,) = open_session(sys.argv[1], 1).run(None, pad([json.loads(sys.argv[2])]))
    print(json.dumps(embedding[0].tolist()))
