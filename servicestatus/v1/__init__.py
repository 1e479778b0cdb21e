"""Version 1 of the API. Everything beside this file is generated from the protos; never edit it."""
