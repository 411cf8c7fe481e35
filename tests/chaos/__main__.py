"""`make chaos SEED=7 [TIER=ci|release|short]`: a whole stack, a stream of runs, and faults by a plan made of the seed.

Exit code 1 if a guarantee was broken.
"""

import argparse
import asyncio
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.stack import LocalStack
from tests.chaos.plan import TIERS, make_plan
from tests.chaos.proxy import ProxyError
from tests.chaos.report import out, print_plan, print_result, write_report
from tests.chaos.trial import home_in, run_trial


def main() -> int:
    options = _options()
    plan = make_plan(options.seed, TIERS[options.tier])
    print_plan(plan)
    if options.plan:
        return 0
    # The clients log every failed connection; the plan stops the broker on purpose.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # On failure its files stay, logs above all: they show the cause.
    folder = Path(tempfile.mkdtemp(prefix="onpoint-chaos-"))
    folder.chmod(0o711)  # the PostgreSQL of root is another user, and has to pass
    try:
        result = asyncio.run(run_trial(plan, folder, os.environ, out.print))
    except (StackError, ProxyError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print_result(result)
    page = write_report(result, options.report)
    out.print(f"report: {page}")
    if result.passed:
        LocalStack(home_in(folder)).down(wipe=True)
        shutil.rmtree(folder, ignore_errors=True)
    else:
        out.print(f"logs: {home_in(folder) / 'logs'}")
    return 0 if result.passed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="the same seed is the same plan (default: 7)")
    parser.add_argument("--tier", choices=sorted(TIERS), default="ci")
    parser.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--report", type=Path, default=Path(".onpoint/chaos"), help="folder of the report")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
