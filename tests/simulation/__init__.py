"""Both programs' real code in a simulated world: seeded, in virtual time, with faults like the measured ones.

loop                                   an event loop whose clock jumps to the next timer
history generator                      what happens, as data: made from a seed, printed, replayed, shrunk
qemu transport apiserver kubernetes    models of what the programs stand between
processes scene world                  the programs, wired like their own main(), and the steps of a history
truth oracles                          what was true, and the eight promises checked against it
run shrink campaign worker mutants     one history, the shortest that still fails, many of them, planted bugs
"""
