"""`python -m launcher_agent`."""

from launcher_agent.main import main

main()
