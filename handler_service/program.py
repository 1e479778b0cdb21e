"""Runs the main coroutine of a program: the handler, the controller or the webhook."""

import asyncio
import logging
import sys
from collections.abc import Coroutine

from handler_service.errors import ConfigurationError
from servicestatus.sockets import SocketError


def run(name: str, main: Coroutine[object, object, None], log: logging.Logger) -> None:
    """Run `main` to its end. Exits with 1 if a socket cannot be used, with 2 after a mistake in the configuration."""
    try:
        asyncio.run(main)
    except SocketError as error:
        log.error("%s", error)  # the text is complete; a traceback would only hide it
        sys.exit(1)
    except ConfigurationError as error:
        sys.stderr.write(f"{name}: error: {error}\n")
        sys.exit(2)
