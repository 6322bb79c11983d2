"""Wire formats to messages and back; each dialect a stranger to the others."""
