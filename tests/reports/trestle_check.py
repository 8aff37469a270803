"""Run by the validators' own Python: reads assessment results with compliance-trestle and checks them."""

import sys
from argparse import Namespace
from pathlib import Path

from trestle.core.validator_factory import validator_factory
from trestle.oscal.assessment_results import AssessmentResults

document = AssessmentResults.oscal_read(Path(sys.argv[1]))
if not validator_factory.get(Namespace(mode="all")).model_is_valid(document, False, None):
    sys.exit("trestle finds it invalid")
print(f"valid: {len(document.results)} results")
