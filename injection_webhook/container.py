"""Starts the webhook in its container: the image's /usr/bin/injection-webhook calls `main`."""

from servicestatus.container import end_on_sigterm
from servicestatus.imports import collector_paused


def main() -> None:
    """Run the webhook as process 1."""
    end_on_sigterm()
    with collector_paused():
        # Imported here: everything large is imported after the signal is handled.
        from injection_webhook.main import main as run  # noqa: PLC0415

    run()
