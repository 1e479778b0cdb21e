"""GET requests to a program's ports for probes and metrics."""

import http.client


def get(port: int, path: str, timeout: float = 10) -> tuple[int, str]:
    """Return the status and the body; 0 and an empty text where there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()
