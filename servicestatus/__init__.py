"""Code that the programs share: the generated API, and the rules and helpers that each of them needs."""
