"""Maps errors of the API server to outcomes."""

from handler_service.kube import errors
from handler_service.model import Outcome, OutcomeKind

_KINDS: tuple[tuple[type[errors.KubeError], OutcomeKind], ...] = (
    (errors.ForbiddenError, OutcomeKind.FORBIDDEN),
    (errors.UnauthorizedError, OutcomeKind.FORBIDDEN),
    (errors.ConflictError, OutcomeKind.CONFLICT),
    (errors.NotFoundError, OutcomeKind.GONE),
)


def of_error(error: errors.KubeError) -> Outcome:
    """Return the outcome of a failed request. The actual value is then not known, and is read again."""
    kind = next((kind for class_, kind in _KINDS if isinstance(error, class_)), OutcomeKind.ERROR)
    return Outcome(kind, message=str(error), retry_after=error.retry_after)
