"""Tests of other folders, on a cluster: the sample shop, the real shops, short laws, and a fortnight of campaigns."""

import pytest

from tests.campaigns.test_fortnight import (  # noqa: F401
    server,
    test_each_message_of_two_weeks_arrives_once,
    workers,
)
from tests.laws.test_facts_agree_with_the_oracle import (  # noqa: F401
    test_stored_facts_and_facts_as_of_an_instant_match_the_records,
)
from tests.laws.test_may_flip import (  # noqa: F401
    test_may_flip_includes_every_customer_whose_answer_changes,
)
from tests.laws.test_merging import (  # noqa: F401
    test_appended_records_give_the_same_facts_as_a_recomputation,
)
from tests.laws.test_random_histories import (  # noqa: F401
    test_refreshes_over_random_histories_leave_the_correct_members,
)
from tests.laws.test_rules_agree_with_the_oracle import (  # noqa: F401
    test_random_rules_over_random_histories,
)
from tests.test_demo import (  # noqa: F401
    test_the_demo_prints_every_ready_to_use_segment_with_its_size,
)
from tests.test_real_data import (  # noqa: F401
    test_every_number_is_computed_and_membership_is_exact,
)

pytestmark = pytest.mark.django_db
