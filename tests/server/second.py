"""A framework of others, beside Tenure: `second.py MASTER NUMBER [EXECUTOR]` launches so many tasks and tells each offer and status in a
line of JSON. EXECUTOR, a program in Python, runs them to their end. Without it they are killed when they run: simulated agents end none.
"""
import json
import os
import sys

from pymesos import MesosSchedulerDriver, Scheduler

OVER = {"TASK_FINISHED", "TASK_KILLED"}
MOST = 5  # of an offer


def tell(**what):
    print(json.dumps(what), flush=True)


class Batch(Scheduler):
    def __init__(self, number, executor):
        self.waiting = ["second-%d" % i for i in range(number)]
        self.alive = set(self.waiting)
        self.executor = executor

    def registered(self, driver, framework_id, master_info):
        tell(framework=framework_id["value"])

    def resourceOffers(self, driver, offers):
        for offer in offers:
            held = {it["name"]: it["scalar"]["value"] for it in offer["resources"] if it["type"] == "SCALAR"}
            room = int(min(held.get("cpus", 0) / 0.2, held.get("mem", 0) / 64, MOST))
            ids, self.waiting = self.waiting[:room], self.waiting[room:]
            tell(offer=offer["hostname"], launched=len(ids))
            driver.launchTasks(offer["id"], [self.task(id, offer) for id in ids], {"refuse_seconds": 3600})

    def task(self, id, offer):
        task = {"task_id": {"value": id}, "agent_id": offer["agent_id"], "name": id, "resources": amounts()}
        if self.executor:
            task["executor"] = {"executor_id": {"value": id}, "name": id, "command": self.command(), "resources": amounts()}
        else:
            task["command"] = {"value": "true"}
        return task

    def command(self):
        variables = {"PYTHONPATH": os.environ["PYTHONPATH"], "PYTHONDONTWRITEBYTECODE": "1"}
        return {
            "shell": False,
            "value": sys.executable,
            "arguments": [sys.executable, self.executor],
            "environment": {"variables": [{"name": name, "value": value} for name, value in variables.items()]},
        }

    def statusUpdate(self, driver, update):
        id, state = update["task_id"]["value"], update["state"]
        tell(task=id, state=state, message=update.get("message", ""))
        if state == "TASK_RUNNING" and not self.executor:
            driver.killTask(update["task_id"])
        if state in OVER:
            self.alive.discard(id)
        elif state not in ("TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"):
            driver.stop()
        if not self.alive:
            driver.stop()

    def error(self, driver, message):
        tell(error=message)
        driver.stop()


def amounts():
    return [
        {"name": name, "type": "SCALAR", "scalar": {"value": value}} for name, value in (("cpus", 0.1), ("mem", 32))
    ]


def main():
    master, number = sys.argv[1], int(sys.argv[2])
    batch = Batch(number, sys.argv[3] if len(sys.argv) > 3 else None)
    framework = {"user": "root", "name": "second", "role": "batch", "checkpoint": True}
    MesosSchedulerDriver(batch, framework, master).run()
    sys.exit(1 if batch.alive else 0)


main()
