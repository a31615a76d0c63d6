"""A plugin in thirty lines, with kopf: an App with the annotation `autoscale/metric: http://HOST/PATH`, where a number stands, has one
instance for each `autoscale/per-instance` of it, from `autoscale/min` to `autoscale/max`. It looks every half minute, or EVERY seconds.

    kopf run --all-namespaces autoscale.py
"""
import math
import os
import urllib.request

import kopf

EVERY = float(os.environ.get("EVERY", "30"))


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_):
    settings.peering.standalone = True  # Peers would be a kind of kopf's own; one process is enough.
    settings.networking.request_timeout = 10


@kopf.timer("tenure.dev", "v1", "apps", interval=EVERY, annotations={"autoscale/metric": kopf.PRESENT})
def scale(body, spec, annotations, patch, **_):
    try:
        with urllib.request.urlopen(annotations["autoscale/metric"], timeout=5) as answer:
            load = float(answer.read())
        each, low, high = (float(annotations.get(f"autoscale/{key}", other))
                           for key, other in [("per-instance", 1), ("min", 1), ("max", 100)])
    except (OSError, ValueError) as error:
        kopf.warn(body, reason="NoMetric", message=str(error))
        return
    wanted = int(max(low, min(high, math.ceil(load / each))))
    if wanted != spec["instances"]:
        patch.spec["instances"] = wanted
        kopf.info(body, reason="Scaled", message=f"from {spec['instances']} to {wanted} for a metric of {load:g}")
