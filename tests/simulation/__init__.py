"""Both programs' real code in a world of our own making: seeded, in virtual time, and as unkind as the measured one.

loop                                   an event loop whose clock leaps from one appointment to the next
history generator                      what happens, as data: made from a seed, printed, replayed, shrunk
qemu transport apiserver kubernetes    models of what the programs stand between
processes scene world                  the programs, wired as their own main() does it, and the steps of a history
truth oracles                          what was so, and the eight promises held against it
run shrink campaign worker mutants     one history, the shortest that still fails, many of them, planted bugs
"""
