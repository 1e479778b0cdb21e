"""One gRPC server per launcher pod, behind an HTTP/2 proxy that bounds what a pod can cost."""
