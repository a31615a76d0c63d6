"""An executor of others: says that its task runs, that it has finished, and ends."""
from threading import Thread

from pymesos import Executor, MesosExecutorDriver


class Once(Executor):
    def launchTask(self, driver, task):
        Thread(target=run, args=(driver, task["task_id"])).start()


def run(driver, task_id):
    for state in ("TASK_RUNNING", "TASK_FINISHED"):
        driver.sendStatusUpdate({"task_id": task_id, "state": state})
    driver.stop()


MesosExecutorDriver(Once()).run()
