"""The tables of `make matrix`: what is kept, what is said of a pair, and that each column's tests are there."""

from tests.cluster.policies import policy_version
from tests.cluster.tools import REPOSITORY
from tests.matrix.pairs import COLUMNS, PAIRS, SERVER_COLUMNS, Pair
from tests.matrix.table import read, written

PAGE = """# A page

<!-- begin matrix, written by a test -->

| KubeVirt | Kubernetes | takeover |
| --- | --- | --- |
| 1.8.4 | 1.35.6 | shown |
| 1.6.0 | 1.31.0 | shown |

<!-- end matrix -->

The end.
"""
NEW, OLD, UNTRIED = Pair("1.36.3", "1.9.0"), Pair("1.35.6", "1.8.4"), Pair("1.30.14")


def test_a_pair_that_was_not_run_keeps_its_row_and_one_that_is_not_tried_any_more_goes() -> None:
    page = written(PAGE, "matrix", ["takeover"], [NEW, OLD, UNTRIED], {NEW: ["FAILED"]})
    assert page == PAGE.replace(
        "| 1.8.4 | 1.35.6 | shown |\n| 1.6.0 | 1.31.0 | shown |\n",
        "| 1.9.0 | 1.36.3 | FAILED |\n| 1.8.4 | 1.35.6 | shown |\n| - | 1.30.14 | - |\n",
    )
    assert read(page, "matrix") == {NEW: ["FAILED"], OLD: ["shown"], UNTRIED: ["-"]}


def test_a_policy_is_written_as_the_release_knows_it() -> None:
    versions = {"v1.36.3": "v1", "v1.37.0": "v1", "v1.35.4": "v1beta1", "v1.34.9": "v1beta1", "v1.33.13": "v1alpha1"}
    assert {release: policy_version(release) for release in versions} == versions
    assert policy_version("v1.31.14") == ""
    assert [pair.policy for pair in PAIRS[:2]] == ["v1", "v1beta1, turned on by flags"]


def test_the_tests_of_each_column_exist() -> None:
    for chosen in (*COLUMNS.values(), *SERVER_COLUMNS.values()):
        for test in chosen:
            path, _, function = test.partition("::")
            assert (REPOSITORY / path).exists(), test
            assert not function or f"def {function}(" in (REPOSITORY / path).read_text(), test
