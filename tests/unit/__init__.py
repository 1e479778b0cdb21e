"""The rules of both programs, in memory, in virtual time, over sockets of the tests' own."""
