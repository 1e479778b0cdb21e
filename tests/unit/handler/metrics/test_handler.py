"""The metrics that concern the pair itself."""

from handler_service.model import Outcome, OutcomeKind, PublishedValue
from servicestatus.v1 import session_report_service_pb2 as pb
from tests.unit.handler.builders import OTHER_VMI, UNREACHABLE, VMI
from tests.unit.handler.metrics.scene import Scene

READ = Outcome(OutcomeKind.UNCHANGED, PublishedValue(0))
PUBLICATIONS = "vmi_service_status_publications"


def told(scene: Scene, name: str) -> dict[str, float]:
    """What is not zero."""
    return {labels: value for labels, value in scene.series(name).items() if value}


def test_who_runs() -> None:
    """For a dashboard: which version since when."""
    assert Scene().series("vmi_service_status_build_info") == {"version=9.9": 1}


def test_vmis_by_reason_and_sockets_by_state() -> None:
    """Every reason is there from the start, so that an alert sees it change."""
    scene = Scene()
    assert len(scene.series("vmi_service_status_vmis")) == 18
    scene.add(VMI)
    scene.add(OTHER_VMI)
    scene.report(VMI, observed=UNREACHABLE)
    assert told(scene, "vmi_service_status_vmis") == {"reason=LibvirtUnreachable": 1, "reason=AgentStarting": 1}
    assert told(scene, "vmi_service_status_endpoints") == {"state=reporting": 1, "state=waiting": 1}


def test_streams() -> None:
    """The report store counts them; rejections appear when the first one occurs."""
    scene = Scene()
    scene.add()
    scene.report()
    stats = scene.manager.reports.stats
    stats.messages["delta"] = 4
    stats.resyncs[pb.RESYNC_REASON_SEQUENCE_GAP] = 3
    stats.rejections["ABORTED"] = 1
    assert scene.series("vmi_service_status_streams_total") == {"": 1}
    assert told(scene, "vmi_service_status_messages_total") == {"kind=delta": 4}
    assert told(scene, "vmi_service_status_resyncs_total") == {"reason=sequence_gap": 3}
    assert set(scene.series("vmi_service_status_resyncs_total")) == {
        "reason=no_snapshot",
        "reason=sequence_gap",
        "reason=count_mismatch",
    }
    assert told(scene, "vmi_service_status_streams_refused_total") == {"status=ABORTED": 1}
    assert scene.series("vmi_service_status_lease_expiries_total") == {"": 0}


def test_how_vmis_stand_with_a_publisher() -> None:
    """Pending, published, or what the last write ended with."""
    scene = Scene()
    scene.add()
    scene.report(sessions=1)
    assert told(scene, PUBLICATIONS) == {"publisher=memory,state=pending": 1}
    scene.work(READ)
    scene.work(Outcome(OutcomeKind.REVERTED, PublishedValue(0)))
    assert told(scene, PUBLICATIONS) == {"publisher=memory,state=reverted": 1}
    scene.work(Outcome(OutcomeKind.WRITTEN, PublishedValue(1)))
    assert told(scene, PUBLICATIONS) == {"publisher=memory,state=published": 1}
    assert told(scene, "vmi_service_status_publishes_total") == {
        "outcome=reverted,publisher=memory": 1,
        "outcome=written,publisher=memory": 1,
    }
    assert len(scene.series("vmi_service_status_publishes_total")) == 8


def test_the_queue_and_the_delay() -> None:
    """What waits, and then how long it has waited."""
    scene = Scene()
    scene.add()
    scene.report(sessions=0)
    scene.work(READ)
    scene.report(sessions=1)
    scene.now += 0.01
    assert scene.series("vmi_service_status_publish_queue_length") == {"publisher=memory": 1}
    (age,) = scene.series("vmi_service_status_publish_queue_age_seconds").values()
    assert round(age, 6) == 0.01
    scene.work(Outcome(OutcomeKind.WRITTEN, PublishedValue(1)))
    assert scene.series("vmi_service_status_publish_queue_length") == {"publisher=memory": 0}
    buckets = scene.series("vmi_service_status_publish_delay_seconds_bucket")
    assert buckets["change=first_rise,le=0.025,publisher=memory"] == 1
    assert buckets["change=first_rise,le=+Inf,publisher=memory"] == 1
    assert told(scene, "vmi_service_status_publish_delay_seconds_count") == {"change=first_rise,publisher=memory": 1}


def test_what_was_asked_of_the_api_server() -> None:
    """Two selections of one kind are one series."""
    scene = Scene()
    scene.requests.answered("PATCH", 200, 0.007)
    scene.requests.failed("GET")
    assert scene.series("vmi_service_status_api_requests_total") == {"code=200,verb=PATCH": 1, "code=none,verb=GET": 1}
    assert scene.series("vmi_service_status_api_request_duration_seconds_sum") == {"verb=PATCH": 0.007}
    assert scene.series("vmi_service_status_lists_total") == {"resource=virtualmachineinstances": 4}
    assert scene.series("vmi_service_status_watches_total") == {"resource=virtualmachineinstances": 6}
    assert told(scene, "vmi_service_status_events_total") == {"outcome=written,reason=VNCSessionStarted": 4}
    assert scene.series("vmi_service_status_watches_failing") == {"resource=virtualmachineinstances": 2}


def test_a_scraper_gets_the_form_that_it_asks_for() -> None:
    """Prometheus asks for OpenMetrics, a person with curl for nothing."""
    scene = Scene()
    assert scene.exposition.render("")[1].startswith("text/plain; version=0.0.4")
    body, kind = scene.exposition.render("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_the_process_is_there() -> None:
    """Memory and CPU, which a cluster without cAdvisor does not export."""
    assert Scene().series("process_resident_memory_bytes")[""] > 0


def test_whether_the_opener_answers_is_shown() -> None:
    """An alert is about it."""
    scene = Scene()
    assert scene.series("vmi_service_status_opener_up") == {"": 1}
    scene.manager.set_opener(answers=False)
    assert scene.series("vmi_service_status_opener_up") == {"": 0}
