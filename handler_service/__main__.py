"""`python -m handler_service` is `handler-service`."""

from handler_service.main import main

if __name__ == "__main__":
    main()
