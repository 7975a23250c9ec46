"""Data: a corpus, its held-out part, a tokenizer, token shards, and windows of tokens."""
