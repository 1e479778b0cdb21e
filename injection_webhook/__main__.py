"""`python -m injection_webhook` is `injection-webhook`."""

from injection_webhook.main import main

if __name__ == "__main__":
    main()
