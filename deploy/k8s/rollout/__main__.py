"""Brings an overlay into the cluster that kubectl points at, step by step, and waits for each.

An installation and an upgrade are the same command; so is the way back, from the older checkout. It can be repeated at any
time, and Ctrl-C leaves what has been applied.
"""

import argparse
import sys
from pathlib import Path

from deploy.k8s.manifests.writing import ROOT
from deploy.k8s.rollout.kubectl import Kubectl, RolloutError
from deploy.k8s.rollout.plan import Step, plan

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130

EXAMPLES = """\
examples:
  python -m deploy.k8s.rollout local
  python -m deploy.k8s.rollout prod --context onpoint-prod --timeout 1200
  python -m deploy.k8s.rollout prod --plan       the steps, without a cluster
"""


def main() -> None:
    options = _options()
    try:
        overlay = _folder(options.overlay)
        kubectl = Kubectl(options.context)
        steps = plan(kubectl.render(overlay))
        if options.plan:
            sys.stdout.writelines(f"{line}\n" for step in steps for line in _lines(step))
        else:
            _roll_out(kubectl, steps, options.timeout)
    except RolloutError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was applied stays; the command can be repeated\n")
        sys.exit(EXIT_INTERRUPTED)


def _folder(overlay: str) -> Path:
    """Raises `RolloutError` that names the overlays there are."""
    known = {path.parent.name: path.parent for path in ROOT.glob("overlays/*/kustomization.yaml")}
    found = known.get(overlay, Path(overlay))
    if not found.is_dir():
        raise RolloutError(f"{overlay} is no folder, and no overlay: {', '.join(sorted(known))}")
    return found


def _roll_out(kubectl: Kubectl, steps: list[Step], timeout_s: int) -> None:
    for number, step in enumerate(steps, 1):
        sys.stdout.write(f"{number}/{len(steps)} {step.name}: {len(step.objects)} objects\n")
        sys.stdout.flush()
        try:
            _take(kubectl, step, timeout_s)
        except RolloutError as error:
            raise RolloutError(
                f"{error}\nMend the cause and repeat the command; what was applied stays."
            ) from error
    sys.stdout.write("everything is rolled out\n")


def _take(kubectl: Kubectl, step: Step, timeout_s: int) -> None:
    if step.anew:
        kubectl.remove(step.objects)
    kubectl.apply(step)
    for name, condition in step.waited_for():
        kubectl.wait(name, condition, timeout_s)


def _lines(step: Step) -> list[str]:
    waited = dict(step.waited_for())
    names = [f"{each['kind'].lower()}/{each['metadata']['name']}" for each in step.objects]
    return [step.name, *(f"  {name}{', then waits for it' if name in waited else ''}" for name in names)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.k8s.rollout",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overlay", help="name of an overlay (local, dev, prod), or a folder of your own")
    parser.add_argument("--context", help="context of kubectl; absent: the current one")
    parser.add_argument("--plan", action="store_true", help="print the steps and end")
    parser.add_argument(
        "--timeout", type=int, default=900, metavar="S", help="seconds to wait for each object (900)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
