"""The companion as the API server defines it: what it refuses, what kubectl prints, who sees it, and when it goes."""
