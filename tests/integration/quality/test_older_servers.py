"""The run ledger on the older PostgreSQL versions that OnPoint supports."""

import pytest

from tests.integration.quality.test_checks import (  # noqa: F401 - the same tests, on these servers
    checked,
    test_a_key_that_the_table_does_not_guard_is_counted,
    test_checks_look_at_the_rows_of_this_run_alone,
)
from tests.integration.quality.test_completion import (  # noqa: F401 - as above
    test_the_listing_names_every_object_and_export_once,
)
from tests.integration.quality.test_ledger import (  # noqa: F401 - as above
    test_an_undecodable_record_is_found_by_its_key,
    test_the_views_tell_of_a_run_under_way,
)
from tests.integration.quality.test_redrives import (  # noqa: F401 - as above
    test_the_listing_follows_and_the_completion_does_not_come_again,
)
from tests.integration.quality.test_replay import (  # noqa: F401 - as above
    test_a_replay_that_delivered_supersedes_the_listing_of_its_original,
)
from tests.integration.quality.test_requests import (  # noqa: F401 - as above
    test_a_run_that_was_asked_for_is_running_and_not_taken_up,
)
from tests.integration.quality.test_sweeping import (  # noqa: F401 - as above
    test_what_results_name_stays_in_the_lake_and_what_nothing_names_goes,
)
from tests.integration.quality.test_upgrade import (  # noqa: F401 - as above
    test_runs_of_the_version_before_stay_and_their_listings_are_left_alone,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def postgres_dsn(older_dsn: str) -> str:
    return older_dsn
